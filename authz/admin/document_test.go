package admin

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func TestDocument_IsOpenAPI31(t *testing.T) {
	doc := loadDocument(t).spec
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("openapi: %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Error(err)
	}
}

// Every operation of the document is gated, nothing else is, and what the gate knows of queries is true.
func TestDocument_IsWhatIsServed(t *testing.T) {
	documented := map[string]bool{}
	for path, item := range loadDocument(t).spec.Paths.Map() {
		for method, op := range item.Operations() {
			pattern := method + " " + path
			documented[pattern] = true
			gated, ok := operations()[pattern]
			if !ok {
				t.Errorf("%s is not gated", pattern)
			}
			var query []string
			for _, p := range op.Parameters {
				if p.Value.In == "query" {
					query = append(query, p.Value.Name)
				}
			}
			if !slices.Equal(query, gated.query) {
				t.Errorf("%s: query parameters %q, %q in the document", pattern, gated.query, query)
			}
			if op.Responses.Default() == nil {
				t.Errorf("%s does not document problems", pattern)
			}
		}
	}
	for pattern := range operations() {
		if !documented[pattern] {
			t.Errorf("%s is not in the document", pattern)
		}
	}
}

// Whoever changes openapi.yaml runs go generate; whoever edits what is generated loses it.
func TestDocument_GeneratedCodeIsCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	for dir, file := range map[string]string{"internal/api": "api.gen.go", "client": "client.gen.go"} {
		document, err := filepath.Abs("openapi.yaml")
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), file)
		cmd := exec.CommandContext(t.Context(), "go", "tool", "oapi-codegen", "-config", "config.yaml", "-o", out, document)
		cmd.Dir = dir
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("generate %s: %v\n%s", dir, err, msg)
		}
		fresh, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(fresh, kept) {
			t.Errorf("%s/%s is not what openapi.yaml generates: run go generate ./authz/admin/...", dir, file)
		}
	}
}
