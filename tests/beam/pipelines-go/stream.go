package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

var (
	elements = flag.Int("elements", 0, "how many elements the stream has")
	interval = flag.Float64("interval", 0, "seconds between them")
	inFlight = flag.Int("in-flight", 1, "how many of them are in flight at most")
	record   = flag.Int("record", 0, "bytes that each element adds to the stream's journal")
)

func init() {
	register.DoFn2x0[context.Context, int](&copier{})
}

// Reads and writes S3 for as long as elements come, one at each interval, all in one bundle of one worker.
func copyForLong(scope beam.Scope) {
	numbers := make([]int, *elements)
	for number := range numbers {
		numbers[number] = number
	}
	copying := &copier{
		Input: *input, Output: *output, Interval: *interval, Pause: *pause, InFlight: *inFlight, Record: *record,
	}
	beam.ParDo0(scope, copying, beam.Reshuffle(scope, beam.CreateList(scope, numbers)))
}

// Several elements are in flight at once; the bundle is over when all of them are.
type copier struct {
	Input, Output   string
	Interval, Pause float64
	InFlight        int
	Record          int

	// Beam's file system and a client of the user's own: both live as long as the worker.
	files  filesystem.Interface
	client *s3.Client

	flight *errgroup.Group
	next   time.Time

	// Open from the first element to the last.
	journal     io.WriteCloser
	journalLock sync.Mutex
}

func (c *copier) Setup(ctx context.Context) error {
	files, err := filesystem.New(ctx, c.Input)
	if err != nil {
		return err
	}
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	c.files, c.client = files, s3.NewFromConfig(loaded)
	return nil
}

func (c *copier) StartBundle(ctx context.Context) (err error) {
	c.flight = new(errgroup.Group)
	c.flight.SetLimit(c.InFlight)
	c.next = time.Now()
	// A bundle that is tried again would leave a second journal.
	c.journal, err = c.files.OpenWrite(ctx, c.Output+"/journal-"+uuid.NewString())
	return err
}

func (c *copier) ProcessElement(ctx context.Context, number int) {
	time.Sleep(time.Until(c.next))
	c.next = c.next.Add(seconds(c.Interval))
	c.flight.Go(func() error { return c.copy(ctx, fmt.Sprintf("%04d", number)) })
}

func (c *copier) FinishBundle(_ context.Context) error {
	if err := c.flight.Wait(); err != nil {
		return err
	}
	return c.journal.Close()
}

func (c *copier) copy(ctx context.Context, name string) error {
	read, err := filesystem.Read(ctx, c.files, c.Input+"/"+name)
	if err != nil {
		return err
	}
	readByClient, err := c.get(ctx, c.Input+"/"+name)
	if err != nil {
		return err
	}
	time.Sleep(seconds(c.Pause))
	if err := filesystem.Write(ctx, c.files, c.Output+"/beam/"+name, []byte(line(name, read))); err != nil {
		return err
	}
	if err := c.put(ctx, c.Output+"/client/"+name, line(name, readByClient)); err != nil {
		return err
	}
	c.journalLock.Lock()
	defer c.journalLock.Unlock()
	written := line(name, read)
	_, err = io.WriteString(c.journal, strings.Repeat(" ", c.Record-len(written))+written)
	return err
}

func (c *copier) get(ctx context.Context, file string) ([]byte, error) {
	bucket, key, err := address(file)
	if err != nil {
		return nil, err
	}
	object, err := c.client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}

func (c *copier) put(ctx context.Context, file, body string) error {
	bucket, key, err := address(file)
	if err != nil {
		return err
	}
	_, err = c.client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(body)})
	return err
}

func address(file string) (bucket, key *string, err error) {
	parsed, err := url.Parse(file)
	if err != nil {
		return nil, nil, err
	}
	return aws.String(parsed.Host), aws.String(strings.TrimPrefix(parsed.Path, "/")), nil
}

func line(name string, read []byte) string {
	return fmt.Sprintf("%s %x\n", name, sha256.Sum256(read))
}
