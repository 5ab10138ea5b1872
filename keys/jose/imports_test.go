package jose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The library's own readers accept what must not be accepted, and its fetchers go where they must
// not go. Only the calls of this list are made, tests apart; a new one is a decision for README.md.
func TestOnlyPrimitivesOfTheLibrary(t *testing.T) {
	const library = "github.com/lestrrat-go/jwx/v2/"
	allowed := map[string][]string{
		"jwa": nil, // names only: all of it
		"jws": {"NewSigner", "Signer"},
		"jwk": {"FromRaw"},
		"jwe": {"Encrypt", "Decrypt", "NewHeaders", "KeyIDKey", "WithKey", "WithContentEncryption", "WithProtectedHeaders"},
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	used := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if pkg, ok := strings.CutPrefix(path, library); ok {
				if _, known := allowed[pkg]; !known || spec.Name != nil {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			if names, known := allowed[pkg.Name]; known && names != nil {
				used++
				if !slices.Contains(names, sel.Sel.Name) {
					t.Errorf("%s uses %s.%s", name, pkg.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
	if used == 0 {
		t.Error("no use of the library found; does the test still look in the right place?")
	}
}
