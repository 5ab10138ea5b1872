package audit_test

import (
	"math"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/audit"
)

func TestDiff(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after audit.View
		b, a          string
	}{
		"nothing at all":    {nil, nil, "", ""},
		"created":           {nil, audit.View{"b": 1, "a": "x"}, "", `{"a":"x","b":1}`},
		"created empty":     {nil, audit.View{}, "", `{}`},
		"removed":           {audit.View{"a": true}, nil, `{"a":true}`, ""},
		"the same":          {audit.View{"a": 1}, audit.View{"a": 1}, `{}`, `{}`},
		"one of two":        {audit.View{"a": 1, "b": 2}, audit.View{"a": 1, "b": 3}, `{"b":2}`, `{"b":3}`},
		"added":             {audit.View{"a": 1}, audit.View{"a": 1, "b": 2}, `{}`, `{"b":2}`},
		"taken away":        {audit.View{"a": 1, "b": 2}, audit.View{"a": 1}, `{"b":2}`, `{}`},
		"order of members":  {audit.View{"a": audit.View{"x": 1, "y": 2}}, audit.View{"a": audit.View{"y": 2, "x": 1}}, `{}`, `{}`},
		"order of lists":    {audit.View{"a": []string{"x", "y"}}, audit.View{"a": []string{"y", "x"}}, `{"a":["x","y"]}`, `{"a":["y","x"]}`},
		"white space":       {audit.View{"a": jsontext.Value(`{ "x" : 1 }`)}, audit.View{"a": jsontext.Value(`{"x":1}`)}, `{}`, `{}`},
		"compact":           {nil, audit.View{"a": jsontext.Value("[ 1,\n2 ]")}, "", `{"a":[1,2]}`},
		"a name with quote": {nil, audit.View{`"`: 1}, "", `{"\"":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			b, a, err := audit.Diff(tt.before, tt.after)
			if err != nil || string(b) != tt.b || string(a) != tt.a || (b == nil) != (tt.before == nil) || (a == nil) != (tt.after == nil) {
				t.Errorf("before %s after %s, %v", b, a, err)
			}
		})
	}
	for _, bad := range []audit.View{{"a": math.NaN()}, {"a": "\xff"}, {"a": jsontext.Value("{")}} {
		if _, _, err := audit.Diff(bad, nil); err == nil {
			t.Errorf("%v before is no error", bad)
		}
		if _, _, err := audit.Diff(nil, bad); err == nil {
			t.Errorf("%v after is no error", bad)
		}
	}
}

// What both say together is what is the same, and every member that differs stands on at least one side.
func TestDiff_SaysWhatDiffersAndNothingElse(t *testing.T) {
	views := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.IntRange(0, 2))
	rapid.Check(t, func(t *rapid.T) {
		x, y := views.Draw(t, "before"), views.Draw(t, "after")
		view := func(m map[string]int) audit.View {
			v := audit.View{}
			for name, value := range m {
				v[name] = value
			}
			return v
		}
		left, right := map[string]int{}, map[string]int{}
		for name, value := range x {
			if other, ok := y[name]; !ok || other != value {
				left[name] = value
			}
		}
		for name, value := range y {
			if other, ok := x[name]; !ok || other != value {
				right[name] = value
			}
		}
		b, a, err := audit.Diff(view(x), view(y))
		wantB, _, _ := audit.Diff(view(left), nil)
		_, wantA, _ := audit.Diff(nil, view(right))
		if err != nil || string(b) != string(wantB) || string(a) != string(wantA) {
			t.Fatalf("%s and %s, want %s and %s, %v", b, a, wantB, wantA, err)
		}
	})
}
