package endpoint_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rows lists identifiers of one family, without some.
func rows(family string, from, to int, except ...int) (ids []string) {
	for n := from; n <= to; n++ {
		if !slices.Contains(except, n) {
			ids = append(ids, fmt.Sprintf("%s%02d", family, n))
		}
	}
	return ids
}

// here lists the rows of the specification that this package must have a test for: those that can be
// seen over HTTP.
func here() []string {
	return slices.Concat(
		rows("TOK", 1, 49, 26, 27, 47), rows("TKE", 1, 66, 33, 55, 56, 57, 58, 59, 60, 61, 62, 63), rows("CLA", 1, 20, 3, 7, 9),
		rows("MET", 1, 11), rows("MET", 13, 14), rows("MET", 21, 21), rows("MET", 26, 29), rows("JWK", 1, 9), rows("JWK", 14, 14),
		rows("RVK", 1, 13), rows("RVK", 17, 20), rows("INT", 1, 20, 8), rows("EVT", 1, 3), rows("EVT", 5, 7), rows("EVT", 9, 10), rows("EVT", 12, 12), rows("EVT", 14, 14),
	)
}

// somewhere lists those that some package must have a test for: every row that is built. Not built are
// refresh tokens (RVK-15), bound tokens (RVK-16, INT-08, RBD but for refusing them), metadata of protected resources
// (RSV-12), status lists (RST-04, RST-08, STR-02), the FAPI profile (RST-03), and events that are pushed (SET-04 to SET-11).
func somewhere() []string {
	return slices.Concat(
		here(), rows("JWT", 1, 17), rows("JWT", 22, 25), rows("JWT", 30, 44), rows("JWT", 46, 50), rows("JWT", 52, 52),
		rows("CLM", 1, 7), rows("JWK", 11, 13), rows("RKY", 1, 13), rows("RVK", 14, 14),
		rows("RSV", 1, 11), rows("RSV", 13, 15), rows("RSV", 20, 38), rows("RBD", 2, 2), rows("RST", 1, 14, 3, 4, 8),
		rows("SET", 1, 3), rows("SET", 12, 15), rows("STR", 1, 5, 2),
	)
}

func TestEveryRowHasATest(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	check(t, err)
	wantNames(t, files, here())
}

// The packages below the protocol are judged by the same list, read from the sources of the module.
func TestEveryRowHasATest_InTheModule(t *testing.T) {
	root := "."
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root = filepath.Join("..", root); strings.Count(root, "..") > 5 {
			t.Fatal("no go.mod")
		}
	}
	var files []string
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return err
	}))
	if len(files) < 50 {
		t.Fatalf("only %d files", len(files))
	}
	wantNames(t, files, somewhere())
}

func wantNames(t *testing.T, files, ids []string) {
	t.Helper()
	var all strings.Builder
	for _, f := range files {
		source, err := os.ReadFile(f)
		check(t, err)
		names, err := namesIn(f, source)
		check(t, err)
		all.WriteString(names)
	}
	for _, id := range ids {
		if !strings.Contains(all.String(), id) {
			t.Errorf("no test is named after %s", id)
		}
	}
}

// rowName is how the name of a subtest begins that is about a row: TKE-05 or TKE05.
var rowName = regexp.MustCompile(`^(TOK|TKE|CLA|JWT|CLM|JWK|MET|RKY|RSV|RBD|RST|SET|STR|RVK|INT|EVT)-?\d\d`)

// message matches the methods whose text appears when a test fails, and names nothing.
var message = regexp.MustCompile(`^(Error|Errorf|Fatal|Fatalf|Log|Logf|Skip|Skipf)$`)

// namesIn returns the names of tests (TestTKE05_…) and of subtests (TKE-05 …) in a file, without hyphens.
// A subtest's name is taken to be any text that begins with a row and is not a message.
func namesIn(file string, source []byte) (string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
	if err != nil {
		return "", err
	}
	var names strings.Builder
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && (strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz")) {
				names.WriteString(n.Name.Name + "\n")
			}
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			return !ok || !message.MatchString(f.Sel.Name)
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && rowName.MatchString(text) {
				names.WriteString(strings.ReplaceAll(text, "-", "") + "\n")
			}
		}
		return true
	})
	return names.String(), nil
}

func TestNamesIn(t *testing.T) {
	got, err := namesIn("x_test.go", []byte(`package x
// TOK-01
func TestTOK02_TOK03_X(t *testing.T) {
	t.Run("TKE-04 x", nil)
	for _, c := range []struct{ name string }{{"TKE05 TKE-06 y"}, {"see TKE-07"}} { t.Fatalf("TKE-08 %s", "TKE-09"+
		"TKE-10") }
}
func (x) TestTOK11() {}
`))
	if want := "TestTOK02_TOK03_X\nTKE04 x\nTKE05 TKE06 y\n"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
