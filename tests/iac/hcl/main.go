// Prints what stands in a directory's .tf files, as JSON: the blocks, their attributes, and what each attribute refers to.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

type block struct {
	Type       string              `json:"type"`
	Labels     []string            `json:"labels"`
	Where      string              `json:"where"`
	Attributes map[string][]string `json:"attributes"`
	// What an attribute says where it is a plain text.
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

func read(body *hclsyntax.Body) (map[string][]string, map[string]string, []block) {
	attributes, texts, blocks := map[string][]string{}, map[string]string{}, []block{}
	for name, attribute := range body.Attributes {
		references := []string{}
		for _, traversal := range attribute.Expr.Variables() {
			references = append(references, written(traversal))
		}
		attributes[name] = references
		if text, diagnostics := attribute.Expr.Value(nil); !diagnostics.HasErrors() && text.Type().FriendlyName() == "string" {
			texts[name] = text.AsString()
		}
	}
	for _, inner := range body.Blocks {
		it := block{Type: inner.Type, Labels: inner.Labels, Where: inner.TypeRange.String()}
		it.Attributes, it.Texts, it.Blocks = read(inner.Body)
		blocks = append(blocks, it)
	}
	return attributes, texts, blocks
}

func main() {
	all := map[string][]block{}
	for _, directory := range os.Args[1:] {
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
			_, _, blocks := read(parsed.Body.(*hclsyntax.Body))
			all[directory] = append(all[directory], blocks...)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		os.Exit(1)
	}
}
