// The pipelines beside this directory in Go: wordcount.go is wordcount.py, stream.go is stream.py.
//
// It is both the launcher and, started again by Beam's boot program, the worker. Nothing here knows of credentials:
// the workers find them where the AWS SDK for Go looks.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/s3"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
)

var (
	name   = flag.String("pipeline", "", "wordcount or stream")
	input  = flag.String("input", "", "the files to read: a pattern, or for the stream a directory")
	output = flag.String("output", "", "the file or directory to write")
	pause  = flag.Float64("pause", 0, "seconds to wait at each line or element")

	pipelines = map[string]func(beam.Scope){"wordcount": countWords, "stream": copyForLong}
)

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

func main() {
	flag.Parse()
	beam.Init()

	build, known := pipelines[*name]
	if !known {
		log.Fatalf("No pipeline is called %q", *name)
	}
	pipeline, scope := beam.NewPipelineWithRoot()
	build(scope)
	if _, err := beam.Run(context.Background(), "universal", pipeline); err != nil {
		log.Fatalf("The job failed: %v", err)
	}
}
