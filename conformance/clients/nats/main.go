// Command client does to an Object Store what it is told on its standard input, a JSON object a line, with nats.go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// task says what to do with the object or link of a name; the file holds its bytes or is to hold them.
type task struct {
	Op, Store, Name, File string
	TargetStore           string `json:"target_store"`
	Target                string
	Headers               nats.Header
	Metadata              map[string]string
}

// done is what became of it.
type done struct {
	Name     string            `json:"name"`
	Size     uint64            `json:"size"`
	Digest   string            `json:"digest"`
	Headers  nats.Header       `json:"headers"`
	Metadata map[string]string `json:"metadata"`
	Names    []string          `json:"names,omitempty"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url string) error {
	connection, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var todo task
		if err := json.Unmarshal(lines.Bytes(), &todo); err != nil {
			return err
		}
		// Without a deadline of ours nats.go ends a read after five seconds.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		found, err := do(ctx, js, todo)
		cancel()
		if err != nil {
			return fmt.Errorf("%s %q: %w", todo.Op, todo.Name, err)
		}
		if err := out.Encode(found); err != nil {
			return err
		}
	}
	return lines.Err()
}

func do(ctx context.Context, js jetstream.JetStream, todo task) (*done, error) {
	store, err := js.ObjectStore(ctx, todo.Store)
	if err != nil {
		return nil, err
	}
	switch todo.Op {
	case "put":
		return put(ctx, store, todo)
	case "get":
		return get(ctx, store, todo)
	case "list":
		return list(ctx, store)
	case "delete":
		return &done{Name: todo.Name}, store.Delete(ctx, todo.Name)
	case "link", "store_link":
		return link(ctx, js, store, todo)
	}
	return nil, errors.New("no such operation")
}

func put(ctx context.Context, store jetstream.ObjectStore, todo task) (*done, error) {
	file, err := os.Open(todo.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	meta := jetstream.ObjectMeta{Name: todo.Name, Headers: todo.Headers, Metadata: todo.Metadata}
	info, err := store.Put(ctx, meta, file)
	if err != nil {
		return nil, err
	}
	return told(info), nil
}

func get(ctx context.Context, store jetstream.ObjectStore, todo task) (*done, error) {
	object, err := store.Get(ctx, todo.Name)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	file, err := os.Create(todo.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// It compares the digest at the end.
	if _, err := io.Copy(file, object); err != nil {
		return nil, err
	}
	info, err := object.Info()
	if err != nil {
		return nil, err
	}
	return told(info), nil
}

func list(ctx context.Context, store jetstream.ObjectStore) (*done, error) {
	infos, err := store.List(ctx)
	if err != nil {
		return nil, err
	}
	found := &done{}
	for _, info := range infos {
		found.Names = append(found.Names, info.Name)
	}
	return found, nil
}

func link(ctx context.Context, js jetstream.JetStream, store jetstream.ObjectStore, todo task) (*done, error) {
	target, err := js.ObjectStore(ctx, todo.TargetStore)
	if err != nil {
		return nil, err
	}
	if todo.Op == "store_link" {
		info, err := store.AddBucketLink(ctx, todo.Name, target)
		if err != nil {
			return nil, err
		}
		return told(info), nil
	}
	object, err := target.GetInfo(ctx, todo.Target)
	if err != nil {
		return nil, err
	}
	info, err := store.AddLink(ctx, todo.Name, object)
	if err != nil {
		return nil, err
	}
	return told(info), nil
}

func told(info *jetstream.ObjectInfo) *done {
	return &done{Name: info.Name, Size: info.Size, Digest: info.Digest, Headers: info.Headers, Metadata: info.Metadata}
}
