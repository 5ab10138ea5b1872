package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/marque-auth/marque/"

// mayImport is the picture of the house: which of our packages each package may import directly.
// A package that is not listed fails the test, so that nobody adds a room without drawing it.
var mayImport = map[string][]string{
	"authz/audit": {},
	"keys/jose":   {},
	"keys/remote": {"keys/jose"},
	"authz/token": {"keys/jose"},
	"keys":        {"keys/jose", "authz/audit"},
	"authz":       {"authz/audit", "authz/token", "keys", "keys/jose"},
	"store":       {"authz", "authz/audit", "authz/token", "keys", "keys/jose"},
	"store/storetest": {
		"store", "authz", "authz/audit", "authz/token", "keys", "keys/jose",
	},
	"store/boltstore":          {"store", "authz", "authz/audit", "authz/token", "keys"},
	"store/redisstore":         {"store", "authz", "authz/audit", "authz/token", "keys"},
	"store/moving":             {"store", "authz", "authz/audit", "authz/token", "keys", "keys/jose"},
	"store/redistest":          {}, // real processes for tests
	"store/disktest":           {}, // bad disks for tests
	"authz/endpoint":           {"authz", "keys", "keys/jose"},
	"authz/admin":              {"authz", "authz/audit", "authz/token", "authz/admin/internal/api", "keys", "keys/jose"},
	"authz/admin/client":       {},
	"authz/admin/internal/api": {}, // generated
	"authz/verifier":           {"authz/token", "keys/remote", "keys/jose"},
	// For tests of other people's services.
	"authz/verifier/verifiertest": {"authz/verifier", "authz/token", "keys/jose"},
	"authz/gate":                  {"authz/verifier"},
	"configs":                     {},
	// Measures the binary from outside, and what services run. A million clients it seals itself and puts
	// into Redis: registering them would take longer than everything else. Signatures it measures through a
	// ring on a store of its own in memory.
	"cmd/bench":  {"authz/admin/client", "authz/audit", "authz/token", "keys/jose", "authz", "keys", "store", "store/moving"},
	"cmd/marque": nil, // main is the only one that knows everyone
}

// confined says which packages may import a library, by the library's path or a path above it.
var confined = map[string][]string{
	"github.com/lestrrat-go/jwx":               {"keys/jose"},
	"github.com/go-oauth2/oauth2":              {"authz"},
	"go.etcd.io/bbolt":                         {"store/boltstore"},
	"github.com/redis/go-redis":                {"store/redisstore", "store/redistest"},
	"github.com/spf13/cobra":                   {"cmd/marque"},
	"github.com/spf13/pflag":                   {"cmd/marque"},
	"github.com/goccy/go-yaml":                 {"configs"},
	"github.com/prometheus":                    {"cmd/marque"},
	"net/http":                                 {"authz/endpoint", "authz/admin", "authz/admin/client", "authz/admin/internal/api", "authz/verifier", "authz/gate", "keys/remote", "cmd/bench", "cmd/marque"},
	"github.com/go-oauth2/oauth2/v4/server":    {},
	"github.com/go-oauth2/oauth2/v4/store":     {},
	"github.com/go-oauth2/oauth2/v4/generates": {},
	"github.com/lestrrat-go/jwx/v2/jwt":        {},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImports_PointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, drawn := mayImport[name]
		if !drawn {
			t.Errorf("%s is not in the picture of the house: draw it in mayImport", name)
			continue
		}
		for _, imported := range p.Imports {
			if room, ours := strings.CutPrefix(imported, module); ours && name != "cmd/marque" && !slices.Contains(allowed, room) {
				t.Errorf("%s must not import %s", name, room)
			}
			for library, homes := range confined {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !slices.Contains(homes, name) {
					t.Errorf("%s must not import %s", name, imported)
				}
			}
		}
	}
}

// One file knows go-oauth2: what else would come to depend on it could not be replaced.
func TestImports_OneFileKnowsGoOAuth2(t *testing.T) {
	for name, file := range sources(t, "authz") {
		for _, i := range file.Imports {
			if strings.Contains(i.Path.Value, "go-oauth2") && name != "manager.go" {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}

// jwx has functions that accept what must not be accepted, or fetch what nobody checked: unsigned claims,
// sets from anywhere, private members in a published set.
func TestImports_OfJWXThePrimitivesOnly(t *testing.T) {
	banned := []string{"jwk.Fetch", "jwk.NewCache", "jwk.PublicSetOf", "jws.Parse", "jws.Verify", "jws.Sign"}
	used := 0
	for file, parsed := range sources(t, "keys/jose") {
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if from, ok := call.X.(*ast.Ident); ok {
				name := from.Name + "." + call.Sel.Name
				if slices.Contains(banned, name) {
					t.Errorf("%s uses %s", file, name)
				}
				if name == "jws.NewSigner" || name == "jws.NewVerifier" {
					used++
				}
			}
			return true
		})
	}
	if used == 0 {
		t.Error("neither jws.NewSigner nor jws.NewVerifier is used: this test looks in the wrong place")
	}
}

// What a service links to verify tokens stays small, through whatever it imports.
func TestImports_VerifierLinksNoServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"authz/verifier").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, banned := range []string{"github.com/go-oauth2", "github.com/redis", "go.etcd.io/bbolt", "github.com/spf13", module + "store", module + "configs"} {
			if strings.HasPrefix(dep, banned) {
				t.Errorf("authz/verifier links %s", dep)
			}
		}
		if dep == module+"authz" || dep == module+"keys" {
			t.Errorf("authz/verifier links %s", dep)
		}
	}
}

// sources parses the files of a package, without its tests.
func sources(t *testing.T, room string) map[string]*ast.File {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", module+room).Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	parsed := map[string]*ast.File{}
	for _, file := range files {
		if name := filepath.Base(file); !strings.HasSuffix(name, "_test.go") {
			if parsed[name], err = parser.ParseFile(token.NewFileSet(), file, nil, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	return parsed
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 2 {
		t.Fatalf("only %d packages", len(all))
	}
	return all
}
