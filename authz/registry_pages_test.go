package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// counting notes from where pages of resources are read.
type counting struct {
	ResourceRecords
	reads []ResourceID
	fail  int // which read fails; 0: none
}

var errCounting = errors.New("the store is away")

func (c *counting) ListResources(ctx context.Context, after ResourceID, limit int) ([]Resource, error) {
	c.reads = append(c.reads, after)
	if len(c.reads) == c.fail {
		return nil, errCounting
	}
	return c.ResourceRecords.ListResources(ctx, after, limit)
}

// A search reads on behind the first thousand, once each, and finds what lies on both sides of its edge.
func TestRegistry_SearchesEveryResource(t *testing.T) {
	const all = 2*resourcePage + 10
	w := newWorld(t, nil)
	id := func(i int) ResourceID { return ResourceID(fmt.Sprintf("https://r%05d.example/Api", i)) }
	marked := []int{0, resourcePage - 1, resourcePage, 2*resourcePage - 1, 2 * resourcePage, all - 1}
	var want []ResourceID
	for i := range all {
		res := Resource{ID: id(i)}
		if slices.Contains(marked, i) {
			res.ID += "/Marked"
			want = append(want, res.ID)
		}
		w.resources[res.ID] = res
	}
	records := &counting{ResourceRecords: w.memory}
	w.registry.config.Resources = records
	search := func(q ResourceQuery) []ResourceID {
		t.Helper()
		records.reads = nil
		found, err := w.registry.ListResources(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return identifiers(found)
	}

	for _, limit := range []int{len(want), len(want) + 1, 1000} {
		if got := search(ResourceQuery{Text: "mArKeD", Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("limit %d: found %q, want %q", limit, got, want)
		}
		if len(records.reads) != 3 {
			t.Errorf("limit %d: read from %q", limit, records.reads)
		}
	}
	for limit := 1; limit < len(want); limit++ { // page after page
		var got []ResourceID
		q := ResourceQuery{Text: "marked", Limit: limit}
		for {
			page := search(q)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			q.After = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: found %q, want %q", limit, got, want)
		}
	}
	if got := search(ResourceQuery{Text: "marked", Limit: 2}); len(got) != 2 || len(records.reads) != 1 {
		t.Errorf("found %q, and read from %q: what is enough is not read on", got, records.reads)
	}
	if got := search(ResourceQuery{Text: "nowhere", Limit: 10}); len(got) != 0 || len(records.reads) != 3 {
		t.Errorf("found %q, read from %q", got, records.reads)
	}
	records.reads, records.fail = nil, 2
	if found, err := w.registry.ListResources(t.Context(), ResourceQuery{Text: "marked", Limit: 10}); !errors.Is(err, errCounting) || found != nil {
		t.Errorf("a part of the answer, %d, or no error: %v", len(found), err)
	}
}

// Exactly one full page of the store: there may be more, so one more read says that there is not.
func TestRegistry_SearchesOneFullPage(t *testing.T) {
	w := newWorld(t, nil)
	for i := range resourcePage {
		id := ResourceID(fmt.Sprintf("urn:r:%04d", i))
		w.resources[id] = Resource{ID: id}
	}
	found, err := w.registry.ListResources(t.Context(), ResourceQuery{Text: "urn:r", Limit: 2 * resourcePage})
	if err != nil || len(found) != resourcePage {
		t.Errorf("found %d: %v", len(found), err)
	}
}
