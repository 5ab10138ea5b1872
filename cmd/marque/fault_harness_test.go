//go:build linux || darwin

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/configs"
)

// TestFault_TheHarness: a server that nothing happens to loses nothing, and no request fails.
func TestFault_TheHarness(t *testing.T) {
	t.Parallel()
	w, s := undisturbed(t)
	w.conclude(t, nodeOf(t, s))
	for _, kind := range []string{"token", "introspection", "admin write"} {
		if bad, first := w.failures(kind); bad > 0 {
			t.Errorf("%d requests (%s) failed, the first at %s", bad, kind, first)
		}
	}
}

// TestFault_TheHarnessSeesWhatIsChangedBehindItsBack: that somebody else enables a client, and disables one, is all that
// is found wrong.
func TestFault_TheHarnessSeesWhatIsChangedBehindItsBack(t *testing.T) {
	t.Parallel()
	w, s := undisturbed(t)
	disabled, enabled := lastLeft(w, disables, "1"), lastLeft(w, renames, "")
	for id, to := range map[string]bool{disabled: false, enabled: true} {
		if _, err := s.registry.SetClientDisabled(t.Context(), byTest, authz.ClientID(id), to); err != nil {
			t.Fatal(err)
		}
	}
	wrong, n := w.judge(t, nodeOf(t, s))
	for _, id := range []string{disabled, enabled} {
		if !slices.ContainsFunc(wrong, func(problem string) bool { return strings.HasPrefix(problem, "client:"+id+" ") }) {
			t.Errorf("nothing is wrong with %s", id)
		}
	}
	if len(wrong) != 3 || n.lost != 2 || n.lostOf["client"] != 2 { // of either the last change, and both of these counted
		t.Errorf("%v; %q", n, wrong)
	}
}

// undisturbed is a server on an embedded store after everything was written that writers write.
func undisturbed(t *testing.T) (*world, *server) {
	t.Helper()
	servers := startFaultServers(t, 1, func(c *configs.Config) { c.Store.Driver, c.Redis.Addrs = "bolt", nil })
	w := newWorld(t, servers.nodes()...)
	w.begin(t)
	waitFor(t, func() bool {
		time.Sleep(20 * time.Millisecond)
		kinds := map[string]bool{}
		for _, object := range w.history.written("") {
			kind, _, _ := strings.Cut(object, ":")
			kinds[kind] = true
		}
		return len(kinds) == 5 && lastLeft(w, disables, "1") != "" && lastLeft(w, renames, "") != ""
	})
	w.settle(t)
	w.end()
	return w, servers.running[0]
}

// lastLeft returns a client whose life ended with a change, of those that nobody changes any more.
func lastLeft(w *world, last doing, suffix string) string {
	for object, deeds := range w.history.objects() {
		d := deeds[len(deeds)-1]
		if strings.HasPrefix(object, "client:life-") && strings.HasSuffix(object, suffix) && d.doing == last && (last != renames || d.name == "renamed again") {
			return strings.TrimPrefix(object, "client:")
		}
	}
	return ""
}
