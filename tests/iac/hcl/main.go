// Prints what stands in directories' .tf files, as JSON: the blocks, their attributes, what each attribute refers to, and the
// text that it is. Its arguments are the values of the variables as JSON, and the directories.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

type block struct {
	Type       string              `json:"type"`
	Labels     []string            `json:"labels"`
	Where      string              `json:"where"`
	Attributes map[string][]string `json:"attributes"`
	// What an attribute says where it is a text, of nothing but variables.
	Texts  map[string]string `json:"texts"`
	Blocks []block           `json:"blocks"`
}

// A reference as it is written: var.bucket, module.grants.role_arn.
func written(traversal hcl.Traversal) string {
	var words []string
	for _, step := range traversal {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			words = append(words, step.Name)
		case hcl.TraverseAttr:
			words = append(words, step.Name)
		}
	}
	return strings.Join(words, ".")
}

func read(body *hclsyntax.Body, context *hcl.EvalContext) (map[string][]string, map[string]string, []block) {
	attributes, texts, blocks := map[string][]string{}, map[string]string{}, []block{}
	for name, attribute := range body.Attributes {
		references := []string{}
		for _, traversal := range attribute.Expr.Variables() {
			references = append(references, written(traversal))
		}
		attributes[name] = references
		if text, diagnostics := attribute.Expr.Value(context); !diagnostics.HasErrors() && text.Type() == cty.String {
			texts[name] = text.AsString()
		}
	}
	for _, inner := range body.Blocks {
		it := block{Type: inner.Type, Labels: inner.Labels, Where: inner.TypeRange.String()}
		it.Attributes, it.Texts, it.Blocks = read(inner.Body, context)
		blocks = append(blocks, it)
	}
	return attributes, texts, blocks
}

func main() {
	given := []byte(os.Args[1])
	kind, err := ctyjson.ImpliedType(given)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	variables, err := ctyjson.Unmarshal(given, kind)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	context := &hcl.EvalContext{Variables: map[string]cty.Value{"var": variables}}
	all := map[string][]block{}
	for _, directory := range os.Args[2:] {
		files, _ := filepath.Glob(filepath.Join(directory, "*.tf"))
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			parsed, diagnostics := hclsyntax.ParseConfig(source, file, hcl.InitialPos)
			if diagnostics.HasErrors() {
				fmt.Fprintln(os.Stderr, diagnostics)
				os.Exit(1)
			}
			_, _, blocks := read(parsed.Body.(*hclsyntax.Body), context)
			all[directory] = append(all[directory], blocks...)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		os.Exit(1)
	}
}
