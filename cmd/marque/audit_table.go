package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
)

// auditActions returns every action that the audit log knows.
func auditActions() []string {
	return []string{
		"client.create", "client.delete", "client.disable", "client.enable", "client.secret.add", "client.secret.revoke", "client.update",
		"installation.create", "installation.rewrap",
		"key.create", "key.import", "key.lengthen", "key.revoke", "key.revoke_all", "key.rewrap", "key.rotate", "key.withdraw",
		"resource.create", "resource.delete", "resource.update", "revocation.create", "revocation.restore",
	}
}

// nothingLogged says why no entry is shown.
func nothingLogged(action string) string {
	known := action == "" || slices.ContainsFunc(auditActions(), func(a string) bool { return a == action || strings.HasPrefix(a, action+".") })
	if known {
		return "No entry of the audit log is so."
	}
	return "There is no such action; there are " + strings.Join(auditActions(), ", ") + "."
}

// auditTable writes entries, and beside each one that changed a record what became of it.
func auditTable(w io.Writer, all []client.AuditEntry) {
	var rows [][]string
	for _, e := range all {
		target := e.Target
		if target == "all:" { // the subject of a revocation whose kind has no value
			target = "all"
		}
		rows = append(rows, []string{instant(&e.Time), e.Actor, e.Action, target, string(e.Result), text(e.Reason), changeOf(&e)})
	}
	table(w, []string{"time", "actor", "action", "target", "result", "reason", "before -> after"}, rows)
}

// How much of a change a table shows, in characters; --json has the rest.
const (
	longestChange = 160
	longestMember = 60
)

// changeOf writes what became of a record, member by member.
func changeOf(e *client.AuditEntry) string {
	before, after := recordOf(e.Before), recordOf(e.After)
	names := slices.Sorted(maps.Keys(before))
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, both := before[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all []string
	for _, name := range names {
		was, had := before[name]
		is, has := after[name]
		switch {
		case had && has:
			all = append(all, fmt.Sprintf("%s: %s -> %s", name, was, is))
		case e.Before == nil:
			all = append(all, fmt.Sprintf("%s: %s", name, is))
		case has:
			all = append(all, fmt.Sprintf("%s: nothing -> %s", name, is))
		default:
			all = append(all, fmt.Sprintf("%s: %s -> nothing", name, was))
		}
	}
	return shortened(strings.Join(all, ", "), longestChange)
}

func recordOf(r *client.AuditRecord) map[string]string {
	all := map[string]string{}
	if r != nil {
		for name, value := range *r {
			all[name] = shortened(plain(value), longestMember)
		}
	}
	return all
}

// plain writes a value of JSON for people: text without quotes, a list with spaces between.
func plain(value json.RawMessage) string {
	var s string
	var list []json.RawMessage
	switch {
	case json.Unmarshal(value, &s) == nil && s != "":
		return s
	case json.Unmarshal(value, &list) == nil && list != nil:
		var all []string
		for _, v := range list {
			all = append(all, plain(v))
		}
		return strings.Join(all, " ")
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil { // what a client got was indented
		return string(value)
	}
	return compact.String()
}

func shortened(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
