// Counts words on S3 with Apache Beam, slowly enough that its credentials expire on the way: wordcount.py in Go.
//
// It is both the launcher and, started again by Beam's boot program, the worker. Nothing here knows of credentials:
// the workers find them where the AWS SDK for Go looks.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"regexp"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/s3"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

var (
	input  = flag.String("input", "", "the files to read, a pattern")
	output = flag.String("output", "", "the file to write")
	pause  = flag.Duration("pause", 0, "how long to wait at each line")

	word = regexp.MustCompile(`[a-z']+`)
)

func init() {
	register.DoFn3x0[context.Context, string, func(string)](&words{})
	register.Function2x1(format)
	register.Emitter1[string]()
}

// The words of a line, after a pause: each file is opened when the lines before it are done.
type words struct {
	Pause time.Duration
}

func (w *words) ProcessElement(_ context.Context, line string, emit func(string)) {
	time.Sleep(w.Pause)
	for _, found := range word.FindAllString(strings.ToLower(line), -1) {
		emit(found)
	}
}

func format(word string, count int) string {
	return fmt.Sprintf("%s: %d", word, count)
}

func main() {
	flag.Parse()
	beam.Init()

	pipeline, scope := beam.NewPipelineWithRoot()
	lines := textio.Read(scope, *input)
	counted := stats.Count(scope, beam.ParDo(scope, &words{Pause: *pause}, lines))
	textio.Write(scope, *output, beam.ParDo(scope, format, counted))
	if _, err := beam.Run(context.Background(), "universal", pipeline); err != nil {
		log.Fatalf("The job failed: %v", err)
	}
}
