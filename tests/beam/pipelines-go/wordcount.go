package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

var word = regexp.MustCompile(`[a-z']+`)

func init() {
	register.DoFn3x0[context.Context, string, func(string)](&words{})
	register.Function2x1(format)
	register.Emitter1[string]()
}

// Counts words on S3, slowly enough that the workers' credentials expire on the way.
func countWords(scope beam.Scope) {
	lines := textio.Read(scope, *input)
	counted := stats.Count(scope, beam.ParDo(scope, &words{Pause: *pause}, lines))
	textio.Write(scope, *output, beam.ParDo(scope, format, counted))
}

// The words of a line, after a pause: each file is opened when the lines before it are done.
type words struct {
	Pause float64
}

func (w *words) ProcessElement(_ context.Context, line string, emit func(string)) {
	time.Sleep(seconds(w.Pause))
	for _, found := range word.FindAllString(strings.ToLower(line), -1) {
		emit(found)
	}
}

func format(word string, count int) string {
	return fmt.Sprintf("%s: %d", word, count)
}
