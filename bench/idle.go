package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const idleFor = 90 * time.Second // three rounds of checks

// idle reads what uws uses while five services are healthy and nobody asks for anything.
func idle(ctx context.Context, b bench) error {
	p, err := b.serve(ctx, filepath.Join(b.dir, "data"))
	if err != nil {
		return err
	}
	defer stop(p)
	var ids []string
	for i, kind := range []string{"BUCKET", "QUEUE", "BUCKET", "QUEUE", "BUCKET"} {
		s, err := p.Launch(ctx, kind, fmt.Sprintf("idle-%d", i), nil)
		if err != nil {
			return err
		}
		if _, err := p.Healthy(ctx, s.ID, 0); err != nil {
			return err
		}
		ids = append(ids, s.ID)
	}
	before, err := cpu(p.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idleFor):
	}
	after, err := cpu(p.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	rss, err := resident(p.Cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Printf("idle with 5 healthy services for %s: %.2f %% of a core (goal: under 1), %.1f MB resident (goal: under 80)\n",
		idleFor, 100*float64(after-before)/float64(idleFor), float64(rss)/1e6)
	for _, id := range ids {
		if err := p.Query(ctx, `mutation($id: ID!) { removeService(id: $id, data: DELETE) { id } }`, map[string]any{"id": id}, nil); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if _, err := p.WaitFor(ctx, id, "removed", gone); err != nil {
			return err
		}
	}
	return nil
}

// cpu is the processor time that a process has used.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // state is field 3 of proc(5), utime 14, stime 15
	var ticks int64
	for _, i := range []int{14 - 3, 15 - 3} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil // Linux counts in hundredths for user space
}

// resident is a process's memory in bytes.
func resident(pid int) (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
