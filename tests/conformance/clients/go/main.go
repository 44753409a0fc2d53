// The AWS SDK for Go as clients of the conformance suite: `go-clients v2`, and `go-clients v1`, which many tools still
// are made with. Both are in one program because that is one build.
package main

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// A generation of the SDK: the module that holds its credential chain, and what makes its clients. Those are made
// once; each call is one request.
type generation struct {
	module string
	open   func() (s3, sts func() error, err error)
}

var generations = map[string]generation{
	"v1": {"github.com/aws/aws-sdk-go", openV1},
	"v2": {"github.com/aws/aws-sdk-go-v2/config", openV2},
}

var (
	bucket = os.Getenv("CONFORMANCE_BUCKET")
	key    = os.Getenv("CONFORMANCE_KEY")
)

func main() {
	generation := generations[os.Args[1]]
	say(map[string]any{
		"client":  strings.TrimPrefix(generation.module, "github.com/aws/"),
		"version": version(generation.module),
	})
	s3, sts, err := generation.open()
	if err != nil {
		panic(err)
	}
	ticker := time.NewTicker(seconds("CONFORMANCE_INTERVAL"))
	for end := time.Now().Add(seconds("CONFORMANCE_SECONDS")); time.Now().Before(end); <-ticker.C {
		try("s3", s3)
		try("sts", sts)
	}
}

func try(operation string, request func() error) {
	line := map[string]any{"at": float64(time.Now().UnixMilli()) / 1000, "operation": operation, "error": nil}
	if err := request(); err != nil {
		line["error"] = err.Error()
	}
	say(line)
}

func say(line map[string]any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		panic(err)
	}
}

// The version of a module that this program was really built with.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	panic("not built with " + module)
}

func seconds(variable string) time.Duration {
	number, err := strconv.ParseFloat(os.Getenv(variable), 64)
	if err != nil {
		panic(err)
	}
	return time.Duration(number * float64(time.Second))
}
