package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// ticksPerSecond is the unit of times in /proc/PID/stat, which is the same on every Linux that Go runs on.
	ticksPerSecond = 100

	envInstallation = "UWS_INSTALLATION"
	envService      = "UWS_SERVICE"
	envSpecHash     = "UWS_SPEC_HASH"
	envRun          = "UWS_RUN"
	envFolder       = "UWS_FOLDER"
)

// stat is what we use of /proc/PID/stat.
type stat struct {
	pid     int
	state   byte // R, S, D, Z, T (stopped), t (traced), X
	parent  int
	session int
	cpu     time.Duration // of the process itself
	waited  time.Duration // of its children that have ended
	start   uint64        // ticks after boot
	rss     int64         // bytes
}

func (s stat) paused() bool { return s.state == 'T' || s.state == 't' }
func (s stat) dead() bool   { return s.state == 'Z' || s.state == 'X' }

// readStat reads /proc/PID/stat; the error is fs.ErrNotExist when there is no such process.
func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if errors.Is(err, syscall.ESRCH) {
			err = fs.ErrNotExist
		}
		return stat{}, fmt.Errorf("reading the state of process %d: %w", pid, err)
	}
	// The name, in brackets, may hold anything: what counts is after its last one. Field n of proc(5) is f[n-3].
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 22 {
		return stat{}, fmt.Errorf("reading the state of process %d: only %d fields", pid, len(f))
	}
	n := func(field int) int64 {
		v, _ := strconv.ParseInt(string(f[field-3]), 10, 64) // numbers, says proc(5)
		return v
	}
	ticks := func(field int) time.Duration { return time.Duration(n(field)) * (time.Second / ticksPerSecond) }
	return stat{
		pid: pid, state: f[0][0], parent: int(n(4)), session: int(n(6)),
		cpu: ticks(14) + ticks(15), waited: ticks(16) + ticks(17),
		start: uint64(n(22)), rss: n(24) * int64(os.Getpagesize()), //nolint:gosec // not negative
	}, nil
}

// markers tell whose a process is.
type markers struct {
	readable                         bool // false: not ours to read, or none left
	installation, service, hash, run string
	folder, home                     string // folder is empty for what an older uws started
}

// isMarker reports whether an environment variable is the driver's own.
func isMarker(name string) bool {
	return name == envInstallation || name == envService || name == envSpecHash || name == envRun || name == envFolder
}

// readEnv reads the environment that a process was started with; nil when we may not or it has none.
func readEnv(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

func markersIn(env []string) markers {
	m := markers{readable: env != nil}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case envInstallation:
			m.installation = v
		case envService:
			m.service = v
		case envSpecHash:
			m.hash = v
		case envRun:
			m.run = v
		case envFolder:
			m.folder = v
		case "HOME":
			m.home = v
		}
	}
	return m
}

// process is one living process that may be an engine of this installation, by its uid.
type process struct {
	stat
	markers
	uid uint32
}

// candidates are all living processes, but us, under a uid that engines of this installation run under.
func (d *Driver) candidates() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	var found []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		uid, err := uidOf(pid)
		if err != nil || !d.ours(uid) {
			continue
		}
		st, err := readStat(pid)
		if err != nil || st.dead() {
			continue // it ended meanwhile
		}
		found = append(found, process{stat: st, markers: markersIn(readEnv(pid)), uid: uid})
	}
	return found, nil
}

// uidOf is the uid a process runs under. The owner of its folder in /proc would be root's where the
// process may not be traced.
func uidOf(pid int) (uint32, error) {
	path := "/proc/" + strconv.Itoa(pid)
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	if uid := ownerOf(info); uid != 0 {
		return uid, nil
	}
	data, err := os.ReadFile(path + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(data, []byte("\nUid:"))
	f := bytes.Fields(rest[:max(0, bytes.IndexByte(rest, '\n'))])
	if len(f) < 2 {
		return 0, fmt.Errorf("no uid in %s/status", path)
	}
	uid, err := strconv.ParseUint(string(f[1]), 10, 32) // the effective one
	return uint32(uid), err
}

// marked reports whether a process has the markers of a service of this installation and runs in this state folder.
func (d *Driver) marked(p process, service string) bool {
	return p.installation == d.opt.Installation && p.service == service && d.inFolder(p.pid, p.markers)
}

// runsEngineIn reports whether a process runs a program of the engines' folder in a volume's folder. It tells the
// backends of PostgreSQL from the shells of people: they overwrite their environment.
func (d *Driver) runsEngineIn(pid int, volume string) bool {
	if volume == "" {
		return false
	}
	path := "/proc/" + strconv.Itoa(pid)
	engines, err := filepath.EvalSymlinks(d.enginesDir())
	if err != nil {
		return false
	}
	program, err := os.Readlink(path + "/exe")
	if err != nil || !strings.HasPrefix(program, engines+string(filepath.Separator)) {
		return false
	}
	in, err := os.Stat(path + "/cwd")
	if err != nil {
		return false
	}
	dir, err := os.Stat(d.volumeDir(volume))
	return err == nil && os.SameFile(in, dir)
}

// members returns the living processes of a service: those that have its markers, descend from its main process
// (nil when it has ended), run under the uid that only its volume has (owner, 0 when unknown), or run an engine in the
// folder of its volume. One with another service's markers, or another installation's, is never a member.
func (d *Driver) members(service string, main *handle, owner uint32, volume string) ([]process, error) {
	all, err := d.candidates()
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(all))
	for _, p := range all {
		parents[p.pid] = p.parent
	}
	// That the main process still has its pid now says that it had it all the while that we read.
	alive := false
	if main != nil {
		st, err := readStat(main.pid)
		alive = err == nil && st.start == main.start
	}
	descends := func(pid int) bool {
		for steps := 0; alive && pid > 1 && steps <= len(all); steps++ {
			if pid == main.pid {
				return true
			}
			pid = parents[pid]
		}
		return false
	}
	var found []process
	for _, p := range all {
		foreign := p.installation != "" && !d.marked(p, service)
		exclusive := asRoot() && owner != 0 && p.uid == owner
		if !foreign && (d.marked(p, service) || exclusive || descends(p.pid) || p.installation == "" && d.runsEngineIn(p.pid, volume)) {
			found = append(found, p)
		}
	}
	return found, nil
}
