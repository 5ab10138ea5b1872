package token_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

var eventTime = time.Unix(1_800_000_000, 0).UTC()

func revoked(r token.Revocation) token.Event {
	return token.Event{
		Issuer: "https://as.example", Audience: "https://as.example/oauth2/revocations", IssuedAt: eventTime, JTI: "j",
		Kind: token.EventRevoked, Run: "run", Seq: 7, At: eventTime, Revocations: []token.Revocation{r},
	}
}

func heartbeat() token.Event {
	e := revoked(token.Revocation{})
	e.Kind, e.At, e.AsOf, e.Revocations = token.EventHeartbeat, time.Time{}, eventTime, nil
	return e
}

func snapshot(n int) token.Event {
	e := heartbeat()
	e.Kind, e.Part, e.Parts = token.EventSnapshot, 1, 1
	for i := range n {
		e.Revocations = append(e.Revocations, token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint("j", i)}, Until: eventTime.Add(time.Hour)})
	}
	return e
}

var subjects = map[string]token.Revocation{
	`{"format":"jwt_id","iss":"https://as.example","jti":"j1"}`:  {Subject: token.Subject{Kind: token.RevokedJTI, Value: "j1"}, Until: eventTime},
	`{"format":"iss_sub","iss":"https://as.example","sub":"c1"}`: {Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}},
	`{"format":"opaque","id":"credential:k1"}`:                   {Subject: token.Subject{Kind: token.RevokedCredential, Value: "k1"}, Since: eventTime, Before: eventTime, Until: eventTime},
	`{"format":"opaque","id":"kid:\"\\"}`:                        {Subject: token.Subject{Kind: token.RevokedKey, Value: `"\`}},
	`{"format":"opaque","id":"resource:https://a.example"}`:      {Subject: token.Subject{Kind: token.RevokedResource, Value: "https://a.example"}, Before: eventTime},
	`{"format":"opaque","id":"all:"}`:                            {Subject: token.Subject{Kind: token.RevokedAll}, Before: eventTime},
}

// What the standards want of every event, member by member.
func TestSET01_SET02_SET03_SET13_Members(t *testing.T) {
	for id, r := range subjects {
		e := revoked(r)
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if string(m["sub_id"]) != id || string(m["toe"]) != "1800000000" {
			t.Errorf("sub_id %s, toe %s; want %s", m["sub_id"], m["toe"], id)
		}
		for _, name := range []string{"iss", "aud", "iat", "jti", "events"} {
			if m[name] == nil {
				t.Errorf("%s is missing in %s", name, b)
			}
		}
		if m["sub"] != nil || m["exp"] != nil {
			t.Errorf("sub or exp is in %s", b)
		}
		// EVT-01: a client that is disabled is told in the words of the profile, too.
		if got, want := strings.Contains(string(b), `"`+token.EventAccountDisabled+`":{}`), r.Kind == token.RevokedClient; got != want {
			t.Errorf("account-disabled: %t in %s", got, b)
		}
	}
}

// A server that was cut off tells of it late: iat is when it says so, toe when it happened. Nothing happens after it
// was told.
func TestSET13_WhenItHappened(t *testing.T) {
	for _, tt := range []struct {
		at, want time.Time
	}{
		{eventTime.Add(-time.Hour), eventTime.Add(-time.Hour)},
		{eventTime, eventTime},
		{eventTime.Add(time.Minute), eventTime}, // by another clock
		{time.Time{}, eventTime},
	} {
		e := revoked(subjects[`{"format":"opaque","id":"all:"}`])
		e.At = tt.at
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := token.ParseEvent(b); err != nil || !got.At.Equal(tt.want) || !got.IssuedAt.Equal(eventTime) {
			t.Errorf("%v: %v, issued %v, %v", tt.at, got.At, got.IssuedAt, err)
		}
	}
	beat := heartbeat()
	beat.At = eventTime
	if b, err := beat.AppendJSON(nil); err == nil {
		t.Errorf("a heartbeat tells of no event: %s", b)
	}
}

func TestSET01_ReadAsItWasWritten(t *testing.T) {
	events := []token.Event{heartbeat(), snapshot(0), snapshot(3), snapshot(token.MaxEventRevocations)}
	for _, r := range subjects {
		events = append(events, revoked(r))
	}
	for _, e := range events {
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.ParseEvent(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%v: %+v\nwant %+v", err, got, e)
		}
	}
}

func TestSET01_WhatIsNoEventIsNeitherWrittenNorRead(t *testing.T) {
	good := revoked(token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}})
	for name, change := range map[string]func(*token.Event){
		"no iss": func(e *token.Event) { e.Issuer = "" }, "no aud": func(e *token.Event) { e.Audience = "" },
		"no jti": func(e *token.Event) { e.JTI = "" }, "no run": func(e *token.Event) { e.Run = "" },
		"no kind": func(e *token.Event) { e.Kind = "" }, "number 0": func(e *token.Event) { e.Seq = 0 },
		"no subject": func(e *token.Event) { e.Revocations = nil }, "a bad subject": func(e *token.Event) { e.Revocations[0].Value = "" },
		"two subjects": func(e *token.Event) { e.Revocations = append(e.Revocations, e.Revocations[0]) },
		"as of":        func(e *token.Event) { e.AsOf = eventTime }, "a part": func(e *token.Event) { e.Part, e.Parts = 1, 1 },
		"a heartbeat with a subject": func(e *token.Event) { e.Kind, e.AsOf = token.EventHeartbeat, eventTime },
		"a part too many":            func(e *token.Event) { e.Kind, e.AsOf, e.Part, e.Parts = token.EventSnapshot, eventTime, 3, 2 },
		"too many subjects":          func(e *token.Event) { *e = snapshot(token.MaxEventRevocations + 1) },
		"not UTF-8":                  func(e *token.Event) { e.JTI = "\xff" },
	} {
		e := good
		e.Revocations = append([]token.Revocation(nil), good.Revocations...)
		change(&e)
		if b, err := e.AppendJSON(nil); err == nil {
			t.Errorf("%s: written as %s", name, b)
		}
	}
	b, err := good.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][2]string{
		"exp":                {`"jti":"j"`, `"jti":"j","exp":1`},
		"sub":                {`"jti":"j"`, `"jti":"j","sub":"x"`},
		"no iat":             {`"iat":1800000000,`, ``},
		"iat 0":              {`"iat":1800000000,`, `"iat":0,`},
		"a negative time":    {`"c1",0,0,0]`, `"c1",-1,0,0]`},
		"a time too far":     {`"c1",0,0,0]`, `"c1",0,0,99999999999999]`},
		"too few parts":      {`"c1",0,0,0]`, `"c1",0,0]`},
		"an unknown kind":    {`["client"`, `["clients"`},
		"number as a text":   {`"seq":7`, `"seq":"7"`},
		"number below zero":  {`"seq":7`, `"seq":-7`},
		"twice":              {`"seq":7`, `"seq":7,"seq":8`},
		"two of our events":  {`"events":{`, `"events":{"` + token.EventHeartbeat + `":{"run":"run","seq":1,"as_of":1},`},
		"none of our events": {token.EventRevoked, "https://example.com/event"},
		"trailing text":      {`}}`, `}}x`},
	} {
		changed := strings.Replace(string(b), bad[0], bad[1], 1)
		if changed == string(b) {
			t.Fatalf("%s: nothing to change in %s", name, b)
		}
		if e, err := token.ParseEvent([]byte(changed)); err == nil {
			t.Errorf("%s: read as %+v", name, e)
		}
	}
	// What this version does not know stands beside what it knows.
	if _, err := token.ParseEvent([]byte(strings.Replace(string(b), `"events":{`, `"txn":"t","events":{"https://example.com/event":{"a":[1]},`, 1))); err != nil {
		t.Errorf("beside an unknown event: %v", err)
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, e := range []token.Event{heartbeat(), snapshot(2), revoked(token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}})} {
		b, err := e.AppendJSON(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := token.ParseEvent(b)
		if err != nil {
			return
		}
		again, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatalf("read, and cannot be written: %v", err)
		}
		if back, err := token.ParseEvent(again); err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%v: %+v, then %+v", err, e, back)
		}
	})
}
