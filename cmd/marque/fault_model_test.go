package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit is how long the checker looks for an order of one object's deeds. What it has not found by then it
// calls undecided, which is a failure: it takes milliseconds where there is one.
const checkLimit = 20 * time.Second

// check looks for each object for an order of its deeds that explains every answer: each deed took effect at one moment
// between its call and its answer, an unknown one at any moment after its call or never, a refused one never. It
// returns a text for each object that has none.
//
// What was seen before the end is left out from the first unknown deed of its object on: Redis may show a write and then
// lose it with the server that nobody copied it from. Nobody was promised it.
func (h *history) check() (problems []string) {
	all := h.objects()
	for _, object := range slices.Sorted(maps.Keys(all)) {
		deeds := all[object]
		switch porcupine.CheckOperationsTimeout(faultModel, operations(deeds), checkLimit) {
		case porcupine.Ok:
			continue
		case porcupine.Illegal:
			problems = append(problems, object+" has no order that explains it:\n"+toldBriefly(deeds))
		default:
			problems = append(problems, fmt.Sprintf("%s: not decided within %v, %d deeds", object, checkLimit, len(deeds)))
		}
	}
	return problems
}

// toldBriefly is all of a short history, and of a long one its last deeds and its writes that are unknown.
func toldBriefly(deeds []deed) string {
	const most = 40
	var said []string
	for i, d := range deeds {
		if i >= len(deeds)-most || d.ending == inDoubt {
			said = append(said, "\t"+d.String())
		}
	}
	return strings.Join(said, "\n")
}

// operations are deeds as the checker wants them.
func operations(deeds []deed) (all []porcupine.Operation) {
	doubtful := time.Duration(math.MaxInt64)
	for _, d := range deeds {
		if d.doing.writes() && d.ending == inDoubt {
			doubtful = min(doubtful, d.call)
		}
	}
	for _, d := range deeds {
		o := porcupine.Operation{Input: d, Call: int64(d.call), Return: int64(d.answer)}
		switch {
		case !d.doing.writes() && !d.last && d.answer >= doubtful:
			continue
		case d.doing.writes() && d.ending == inDoubt:
			o.Return = math.MaxInt64 // after everything: never
		case d.doing.writes() && d.ending != acked:
			continue
		}
		all = append(all, o)
	}
	return all
}

// faultModel is what an object may be told to be, by what was done to it before, one deed after the other.
var faultModel = porcupine.Model{
	Init: func() any { return condition{} },
	Step: func(before, input, _ any) (bool, any) {
		was, d := before.(condition), input.(deed)
		return d.legal(was), d.after(was)
	},
	DescribeOperation: func(input, _ any) string { return input.(deed).String() },
	DescribeState:     func(c any) string { return c.(condition).String() },
}

// legal says whether an answer may be given about an object that was so.
func (d deed) legal(was condition) bool {
	switch {
	case d.doing == sees:
		return d.seen == was
	case d.doing == misses:
		return was.life != there
	case d.ending == inDoubt || d.doing == voids: // what was withdrawn may be withdrawn again, and what is nowhere may be
		return true
	case d.doing == makes:
		return was.life != void
	}
	return was.life == there
}

// after is what a deed makes of an object.
func (d deed) after(was condition) condition {
	switch {
	case d.doing == voids:
		return condition{life: void}
	case d.doing == makes && was.life == nowhere:
		return condition{life: there, name: d.name}
	case was.life != there:
	case d.doing == disables:
		was.disabled = true
	case d.doing == enables:
		was.disabled = false
	case d.doing == renames:
		was.name = d.name
	}
	return was
}
