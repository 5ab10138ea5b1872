package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/admin/client"
)

// TestAuditActionsAreAllOfThem reads the actions out of the sources that write them.
func TestAuditActionsAreAllOfThem(t *testing.T) {
	written := map[string]bool{}
	action := regexp.MustCompile(`"((?:client|resource|revocation|key|installation)\.[a-z._]+)"`)
	for _, dir := range []string{"../../authz", "../../keys", "../../store/boltstore"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range action.FindAllStringSubmatch(string(source), -1) {
				written[m[1]] = true
			}
		}
	}
	for name := range written {
		if !slices.Contains(auditActions(), name) {
			t.Errorf("%s is not on the list", name)
		}
	}
	for _, name := range auditActions() {
		if !written[name] {
			t.Errorf("nobody writes %s", name)
		}
	}
}

func TestChangesAreReadable(t *testing.T) {
	record := func(s string) *client.AuditRecord {
		if s == "" {
			return nil
		}
		var r client.AuditRecord
		if err := json.Unmarshal([]byte(s), &r); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	long := strings.Repeat("é", 200)
	for _, c := range []struct{ name, before, after, want string }{
		{"nothing", "", "", ""},
		{"changed", `{"disabled":false}`, `{"disabled":true}`, "disabled: false -> true"},
		{"made", "", `{"client_name":"Acme","resources":["a","b"]}`, "client_name: Acme, resources: a b"},
		{"deleted", `{"client_name":"Acme"}`, "", "client_name: Acme -> nothing"},
		{"added and taken", `{"b":1}`, `{"a":{"x":"y"}}`, `a: nothing -> {"x":"y"}, b: 1 -> nothing`},
		{"long", `{"a":"` + long + `"}`, `{"a":"x"}`, "a: " + long[:2*longestMember] + "… -> x"},
		{"emptied", `{"a":["x"]}`, `{"a":null}`, "a: x -> null"},
	} {
		if got := changeOf(&client.AuditEntry{Before: record(c.before), After: record(c.after)}); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What a client of the API decodes keeps the line breaks of the answer, which a table must not have.
func TestChangesAreReadable_OfAnObject(t *testing.T) {
	if got := plain(json.RawMessage("{\n  \"kind\": \"client\",\n  \"value\": \"a  b\"\n}")); got != `{"kind":"client","value":"a  b"}` {
		t.Error(got)
	}
}
