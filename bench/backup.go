package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/unicorn-web-services/uws/test/uwstest"
)

// loadFor is how long clients work for each figure of their latency.
const loadFor = 20 * time.Second

// backupBench is a database that is backed up to a folder.
type backupBench struct {
	bench
	p       *uwstest.Process
	s       *uwstest.Service
	keys    map[string]string
	pgbench string
	target  string
	scale   int // of pgbench; one has 16 MB
}

// backups backs a database of $UWS_BENCH_MB megabytes up, beside reading its files and hashing them; again after one page of
// a hundred was changed; under load; and restores it, beside copying its files.
func backups(ctx context.Context, b bench) error {
	size := 1024
	if text := os.Getenv("UWS_BENCH_MB"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("UWS_BENCH_MB: %w", err)
		}
	}
	x := &backupBench{bench: b}
	var err error
	if x.pgbench, err = exec.LookPath("pgbench"); err != nil {
		return errors.New("pgbench is missing; it is in Debian's package postgresql-contrib")
	}
	if x.p, err = b.serve(ctx, filepath.Join(b.dir, "data")); err != nil {
		return err
	}
	defer stop(x.p)
	if err := x.fill(ctx, size); err != nil {
		return err
	}
	backup, err := x.full(ctx)
	if err == nil {
		err = x.underLoad(ctx)
	}
	if err == nil {
		err = x.restore(ctx, backup)
	}
	return err
}

// fill makes a database of so many megabytes.
func (x *backupBench) fill(ctx context.Context, size int) error {
	s, err := x.p.Launch(ctx, "DB", "shop", nil)
	if err != nil {
		return err
	}
	if x.s, err = x.p.Healthy(ctx, s.ID, 0); err != nil {
		return err
	}
	if x.keys, err = x.p.Credentials(ctx, s.ID); err != nil {
		return err
	}
	began := time.Now()
	x.scale = max(1, size/16)
	if _, err := x.run(ctx, "-i", "-q", "-F", "90", "-s", strconv.Itoa(x.scale)); err != nil {
		return err
	}
	fmt.Printf("database: about %d MB, filled in %s\n", size, time.Since(began).Round(time.Second))
	var made struct{ CreateBackupTarget struct{ ID string } }
	err = x.p.Query(ctx, `mutation($f: String!) { createBackupTarget(input: {name: "disk", folder: $f}) { id } }`, map[string]any{"f": filepath.Join(x.dir, "target")}, &made)
	x.target = made.CreateBackupTarget.ID
	return err
}

// run runs pgbench in a folder of its own.
func (x *backupBench) run(ctx context.Context, args ...string) (dir string, err error) {
	u, err := url.Parse(x.s.Endpoint)
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(x.dir, "pgbench-"); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, x.pgbench, append(args, x.keys["database"])...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PGHOST="+u.Hostname(), "PGPORT="+u.Port(), "PGUSER="+x.keys["user"], "PGPASSWORD="+x.keys["password"])
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pgbench: %w: %s", err, out)
	}
	return dir, nil
}

// taken is a backup that is complete.
type taken struct {
	ID, State, Reason     string
	StartedAt, FinishedAt time.Time
	Bytes, StoredBytes    float64
}

func (x *backupBench) backUp(ctx context.Context) (taken, error) {
	var begun struct{ BackUpService taken }
	err := x.p.Query(ctx, `mutation($s: ID!, $t: ID!) { backUpService(id: $s, targetId: $t) { id } }`, map[string]any{"s": x.s.ID, "t": x.target}, &begun)
	if err != nil {
		return taken{}, err
	}
	var out struct{ Backup taken }
	err = await(ctx, func() (bool, error) {
		err := x.p.Query(ctx, `query($i: ID!) { backup(id: $i) { id state reason startedAt finishedAt bytes storedBytes } }`, map[string]any{"i": begun.BackUpService.ID}, &out)
		return !out.Backup.FinishedAt.IsZero(), err
	})
	if err == nil && out.Backup.State != "COMPLETE" {
		err = fmt.Errorf("the backup is %s: %s", out.Backup.State, out.Backup.Reason)
	}
	return out.Backup, err
}

// await asks until something is over.
func await(ctx context.Context, over func() (bool, error)) error {
	for {
		if ok, err := over(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// full takes a first backup and two more after changes, beside reading the files of the database and hashing them.
func (x *backupBench) full(ctx context.Context) (backup string, err error) {
	read, err := x.hash(ctx)
	if err != nil {
		return "", err
	}
	first, err := x.backUp(ctx)
	if err != nil {
		return "", err
	}
	took := first.FinishedAt.Sub(first.StartedAt)
	fmt.Printf("database of %.0f MB: reading its files and hashing them %.1f s, backing it up %.1f s: ratio %.2f (goal 1.3)\n", first.Bytes/1e6, read.Seconds(), took.Seconds(), ratio(took, read))
	for _, c := range []struct{ which, rows string }{
		{"one page of a hundred, all in a row", fmt.Sprintf("aid %% 55 = 0 AND aid <= %d", x.scale*100_000/100)},
		{"one page of a hundred, all over the table", "aid % 5500 = 0"},
	} {
		again, err := x.changed(ctx, c.rows)
		if err != nil {
			return "", err
		}
		fmt.Printf("another backup, after changes of %s: %.1f s, stores %.1f MB, %.1f %% of the %.1f MB of the first (goal 2 %%)\n",
			c.which, again.FinishedAt.Sub(again.StartedAt).Seconds(), again.StoredBytes/1e6, 100*again.StoredBytes/first.StoredBytes, first.StoredBytes/1e6)
		backup = again.ID
	}
	return backup, nil
}

// changed changes one row of each of some pages, which stays in its page, as they are filled to 90 %, and takes a backup.
func (x *backupBench) changed(ctx context.Context, rows string) (taken, error) {
	script := filepath.Join(x.dir, "change.sql")
	if err := os.WriteFile(script, []byte("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE "+rows+";\n"), 0o600); err != nil {
		return taken{}, err
	}
	if _, err := x.run(ctx, "-n", "-t", "1", "-f", script); err != nil {
		return taken{}, err
	}
	return x.backUp(ctx)
}

// hash reads the files of the database and hashes them.
func (x *backupBench) hash(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "tar", "-C", filepath.Join(x.dir, "data", "process", "volumes"), "-c", ".")
	cmd.Stdout = sha256.New()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("reading the files: %w", err)
	}
	return time.Since(began), nil
}

// latency returns the latencies of transactions of four clients.
func (x *backupBench) latency(ctx context.Context) (sample, error) {
	dir, err := x.run(ctx, "-n", "-c", "4", "-j", "2", "-l", "-T", strconv.Itoa(int(loadFor.Seconds())))
	if err != nil {
		return nil, err
	}
	logs, err := filepath.Glob(filepath.Join(dir, "pgbench_log*"))
	if err != nil {
		return nil, err
	}
	var all sample
	for _, path := range logs {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) > 2 {
				us, _ := strconv.Atoi(fields[2])
				all = append(all, time.Duration(us)*time.Microsecond)
			}
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// underLoad measures the latency of clients without a backup, and while one after the other is taken.
func (x *backupBench) underLoad(ctx context.Context) error {
	without, err := x.latency(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	loaded := make(chan struct{})
	n := 0
	go func() {
		for {
			select {
			case <-loaded:
				ended <- nil
				return
			default:
			}
			if _, err := x.backUp(ctx); err != nil {
				ended <- err
				return
			}
			n++
		}
	}()
	during, err := x.latency(ctx)
	close(loaded)
	if err = errors.Join(err, <-ended); err != nil {
		return err
	}
	fmt.Println("clients without a backup:", without)
	fmt.Printf("clients during %d backups: %s: p99 ratio %.2f (goal 1.5)\n", n, during, ratio(during.at(0.99), without.at(0.99)))
	return nil
}

// restore makes a service of a backup, beside copying its files, and proves the backup.
func (x *backupBench) restore(ctx context.Context, backup string) error {
	var begun struct{ RestoreBackup, ProveBackup struct{ ID string } }
	over := func(id string) (time.Duration, error) {
		began := time.Now()
		var out struct {
			Restore struct{ State, Reason string }
		}
		err := await(ctx, func() (bool, error) {
			err := x.p.Query(ctx, `query($i: ID!) { restore(id: $i) { state reason } }`, map[string]any{"i": id}, &out)
			return out.Restore.State == "COMPLETE" || out.Restore.State == "FAILED", err
		})
		if err == nil && out.Restore.State == "FAILED" {
			err = errors.New(out.Restore.Reason)
		}
		return time.Since(began), err
	}
	volumes := filepath.Join(x.dir, "data", "process", "volumes")
	began := time.Now()
	if out, err := exec.CommandContext(ctx, "cp", "-a", volumes, filepath.Join(x.dir, "copied")).CombinedOutput(); err != nil {
		return fmt.Errorf("copying: %w: %s", err, out)
	}
	if err := exec.CommandContext(ctx, "sync", "-f", x.dir).Run(); err != nil {
		return err
	}
	copied := time.Since(began)
	if err := x.p.Query(ctx, `mutation($i: ID!) { restoreBackup(id: $i, input: {name: "again"}) { id } }`, map[string]any{"i": backup}, &begun); err != nil {
		return err
	}
	restored, err := over(begun.RestoreBackup.ID)
	if err != nil {
		return err
	}
	fmt.Printf("restore until the first answer: %.1f s, copying the files %.1f s: ratio %.2f (goal 1.5)\n", restored.Seconds(), copied.Seconds(), ratio(restored, copied))
	if err := x.p.Query(ctx, `mutation($i: ID!) { proveBackup(id: $i) { id } }`, map[string]any{"i": backup}, &begun); err != nil {
		return err
	}
	proven, err := over(begun.ProveBackup.ID)
	if err == nil {
		fmt.Printf("proof, with every page, row and index checked: %.1f s\n", proven.Seconds())
	}
	return err
}
