// Command load builds images of the pinned engines and loads them into the Docker Engine that the docker command uses.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/unicorn-web-services/uws/engines/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	from := flag.String("engines", "build/engines", "folder of the engines, as `make engines` leaves them")
	flag.Parse()
	if err := run(ctx, *from, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run loads the named images, or all.
func run(ctx context.Context, enginesDir string, names []string) error {
	all, err := images.All()
	if err != nil {
		return err
	}
	for _, i := range all {
		if len(names) > 0 && !slices.Contains(names, i.Name) {
			continue
		}
		if err := load(ctx, i, enginesDir); err != nil {
			return err
		}
		fmt.Println(i.Ref)
	}
	return nil
}

func load(ctx context.Context, i images.Image, enginesDir string) error {
	var args []string
	for _, c := range i.Changes() {
		args = append(args, "-c", c)
	}
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := i.Write(ctx, out, enginesDir)
		out.CloseWithError(err)
		written <- err
	}()
	docker := exec.CommandContext(ctx, "docker", append(append([]string{"import"}, args...), "-", i.Ref)...)
	docker.Stdin, docker.Stderr = in, os.Stderr
	err := docker.Run()
	in.CloseWithError(io.ErrClosedPipe) // unblocks the writer if nobody reads any more
	if failed := <-written; failed != nil && err == nil {
		return failed
	} else if err != nil {
		return fmt.Errorf("docker import %s: %w", i.Ref, err)
	}
	return nil
}
