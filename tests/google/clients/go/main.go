// Command go uses Google's libraries for Go across several lifetimes of a token, as their guides show them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/idtoken"
)

const scope = "https://www.googleapis.com/auth/cloud-platform"

type line struct {
	At        float64 `json:"at"`
	Operation string  `json:"operation"`
	Error     *string `json:"error"`
}

type operation struct {
	name    string
	request func() error
}

func main() {
	ctx := context.Background()
	object := fmt.Sprintf("%s/storage/v1/b/%s/o/words.txt", os.Getenv("CONFORMANCE_STORAGE"), os.Getenv("CONFORMANCE_BUCKET"))
	service := os.Getenv("CONFORMANCE_SERVICE")
	out := json.NewEncoder(os.Stdout)
	out.Encode(map[string]string{"client": "golang.org/x/oauth2", "version": version()})

	operations := []operation{
		{"metadata", func() error { return withMetadata(ctx, object) }},
		{"oauth2", overAndOver(object, func() (*http.Client, error) {
			found, err := google.FindDefaultCredentials(ctx, scope)
			if err != nil {
				return nil, err
			}
			if found.ProjectID == "" {
				return nil, fmt.Errorf("FindDefaultCredentials knows no project")
			}
			return oauth2.NewClient(ctx, found.TokenSource), nil
		})},
		// The newer library, below Google's clients of today.
		{"auth", overAndOver(object, func() (*http.Client, error) {
			found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{scope}})
			if err != nil {
				return nil, err
			}
			return httptransport.NewClient(&httptransport.Options{Credentials: found})
		})},
		{"id", overAndOver(service, func() (*http.Client, error) { return idtoken.NewClient(ctx, service) })},
	}
	interval := seconds("CONFORMANCE_INTERVAL")
	end := time.Now().Add(seconds("CONFORMANCE_SECONDS"))
	for start := time.Now(); start.Before(end); start = time.Now() {
		for _, each := range operations {
			said := line{At: float64(time.Now().UnixMilli()) / 1000, Operation: each.name}
			if err := each.request(); err != nil {
				why := fmt.Sprint(err)
				said.Error = &why
			}
			out.Encode(said)
		}
		time.Sleep(time.Until(start.Add(interval)))
	}
}

// overAndOver makes one client and asks with it each time.
func overAndOver(url string, make func() (*http.Client, error)) func() error {
	var client *http.Client
	return func() error {
		if client == nil {
			made, err := make()
			if err != nil {
				return err
			}
			client = made
		}
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		return send(client, request)
	}
}

// withMetadata asks the metadata server itself, as a program without a library for credentials does.
func withMetadata(ctx context.Context, url string) error {
	text, err := metadata.GetWithContext(ctx, "instance/service-accounts/default/token")
	if err != nil {
		return err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		return err
	}
	email, err := metadata.EmailWithContext(ctx, "default")
	if err != nil || email == "" {
		return fmt.Errorf("email %q: %w", email, err)
	}
	number, err := metadata.NumericProjectIDWithContext(ctx)
	if err != nil || number == "" {
		return fmt.Errorf("project number %q: %w", number, err)
	}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return send(http.DefaultClient, request)
}

func send(client *http.Client, request *http.Request) error {
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", reply.Status, text)
	}
	return err
}

func seconds(variable string) time.Duration {
	number, err := strconv.ParseFloat(os.Getenv(variable), 64)
	if err != nil {
		panic(err)
	}
	return time.Duration(number * float64(time.Second))
}

func version() string {
	built, _ := debug.ReadBuildInfo()
	for _, each := range built.Deps {
		if each.Path == "golang.org/x/oauth2" {
			return each.Version
		}
	}
	return "unknown"
}
