package endpoint

import (
	"mime"
	"strconv"
	"strings"
)

// mediaIntrospection is the media type of a signed introspection (RFC 9701, Section 4).
const mediaIntrospection = "application/token-introspection+jwt"

// maxRanges bounds how many media ranges are read, of all fields together: it is done before anyone
// knows who asks. The rest says nothing.
const maxRanges = 64

// prefersJWT reports whether the Accept fields ask for the signed form of an introspection: they name
// its type, and prefer it to JSON (RFC 9110, Section 12.5.1). JSON stays the default for everybody
// else: for no field, for wildcards alone, for a tie between the two by name, for what cannot be
// read. Where JSON is only what a wildcard allows, the type that was named wins a tie.
func prefersJWT(fields []string) bool {
	const none = -1
	signed, named, wild, wildest := none, none, none, none // thousandths
	read := 0
	for _, field := range fields {
		for element := ""; field != "" && read < maxRanges; read++ {
			element, field = cutElement(field)
			media, q, ok := mediaRange(element)
			if !ok {
				continue
			}
			switch media {
			case mediaIntrospection:
				signed = max(signed, q)
			case mediaJSON:
				named = max(named, q)
			case "application/*":
				wild = max(wild, q)
			case "*/*":
				wildest = max(wildest, q)
			}
		}
	}
	switch { // the most specific range decides
	case signed <= 0:
		return false
	case named != none:
		return signed > named
	case wild != none:
		return signed >= wild
	}
	return signed >= wildest
}

// prefersStream reports whether the Accept fields ask for a stream of events: they name its type, and prefer it
// to JSON by name. Who does not say so, or takes anything, waits for the end of an answer, and a stream has none.
func prefersStream(fields []string) bool {
	stream, page := 0, 0 // thousandths
	read := 0
	for _, field := range fields {
		for element := ""; field != "" && read < maxRanges; read++ {
			element, field = cutElement(field)
			media, q, ok := mediaRange(element)
			switch {
			case !ok:
			case media == mediaEvents:
				stream = max(stream, q)
			case media == mediaJSON:
				page = max(page, q)
			}
		}
	}
	return stream > page
}

// cutElement cuts the first element off a list. A comma inside a quoted string separates nothing.
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == ',':
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// mediaRange reads a media range and its weight, in thousandths. Other parameters are ignored: neither
// of our types has any.
func mediaRange(element string) (media string, q int, ok bool) {
	media, parameters, err := mime.ParseMediaType(element)
	if err != nil {
		return "", 0, false
	}
	weight, weighted := parameters["q"]
	if !weighted {
		return media, 1000, true
	}
	q, ok = quality(weight)
	return media, q, ok
}

// quality reads a qvalue (RFC 9110, Section 12.4.2): 0 to 1, with at most three decimals.
func quality(s string) (thousandths int, ok bool) {
	whole, decimals, _ := strings.Cut(s, ".") // "0." is a qvalue too
	if whole != "0" && whole != "1" || len(decimals) > 3 || strings.Trim(decimals, "0123456789") != "" {
		return 0, false
	}
	thousandths, err := strconv.Atoi(whole + decimals + "000"[len(decimals):])
	return thousandths, err == nil && thousandths <= 1000
}
