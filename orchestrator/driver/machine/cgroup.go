package machine

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Groups finds the control groups of processes.
type Groups struct {
	files  Files
	mounts []groupMount
}

// groupMount is where a hierarchy of control groups is mounted.
type groupMount struct {
	root, at    string   // the control group that is mounted, and where
	controllers []string // of a hierarchy of version 1; nil: version 2
}

// Groups returns the control groups of the machine.
func (f Files) Groups() (*Groups, error) {
	text, err := os.ReadFile(f.path("proc", "self", "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("looking for the control groups: %w", err)
	}
	g := &Groups{files: f}
	for line := range strings.Lines(string(text)) { // id parent device root at options… - type source options
		mount, kind, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(mount), strings.Fields(kind)
		if len(fields) < 5 || len(types) < 3 {
			continue
		}
		m := groupMount{root: fields[3], at: f.path(fields[4])}
		switch types[0] {
		case "cgroup":
			m.controllers = strings.Split(types[2], ",")
		case "cgroup2":
		default:
			continue
		}
		g.mounts = append(g.mounts, m)
	}
	return g, nil
}

// Group has the files that count what the processes of a control group use.
type Group struct {
	cpu, memory string // folders
	unified     bool   // version 2
}

// Of returns the control group of a process whose name contains id.
// Errors: [fs.ErrNotExist] if the process has ended, or is in no such group that can be read from here.
func (g *Groups) Of(pid int, id string) (*Group, error) {
	text, err := os.ReadFile(g.files.process(pid, "cgroup"))
	if err != nil {
		return nil, fmt.Errorf("looking for the control group of process %d: %w", pid, ended(err))
	}
	var one, two Group
	for line := range strings.Lines(string(text)) { // hierarchy:controllers:path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 || id == "" || !strings.Contains(fields[2], id) {
			continue
		}
		controllers := strings.Split(fields[1], ",")
		if slices.Contains(controllers, "cpuacct") {
			one.cpu = g.folder("cpuacct", fields[2], "cpuacct.usage")
		}
		if slices.Contains(controllers, "memory") {
			one.memory = g.folder("memory", fields[2], "memory.usage_in_bytes")
		}
		if fields[0] == "0" {
			two.memory = g.folder("", fields[2], "memory.current")
		}
	}
	switch {
	case one.cpu != "" && one.memory != "":
		return &one, nil
	case two.memory != "":
		two.cpu, two.unified = two.memory, true
		return &two, nil
	}
	return nil, fmt.Errorf("process %d is in no readable control group %s: %w", pid, id, fs.ErrNotExist)
}

// folder returns where the control group at a path can be read; empty if it has no file of that name. controller is empty for
// version 2.
func (g *Groups) folder(controller, path, file string) string {
	if strings.Contains(path, "/..") { // outside this process's namespace of control groups
		return ""
	}
	for _, m := range g.mounts {
		if (controller == "") != (m.controllers == nil) || controller != "" && !slices.Contains(m.controllers, controller) {
			continue
		}
		rel, err := filepath.Rel(m.root, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue // of another part of the tree than is mounted
		}
		dir := filepath.Join(m.at, rel)
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return dir
		}
	}
	return ""
}

// CPU returns the processor time that the processes of the group have used since it was made.
func (g *Group) CPU() (time.Duration, error) {
	if !g.unified {
		n, err := g.number(g.cpu, "cpuacct.usage")
		return time.Duration(n), err
	}
	n, err := g.entry("cpu.stat", "usage_usec ")
	return time.Duration(n) * time.Microsecond, err
}

// Memory returns the bytes of memory that the group uses, without the file cache that the kernel can drop.
func (g *Group) Memory() (int64, error) {
	total, cache := "memory.usage_in_bytes", "total_inactive_file "
	if g.unified {
		total, cache = "memory.current", "inactive_file "
	}
	used, err := g.number(g.memory, total)
	if err != nil {
		return 0, err
	}
	inactive, err := g.entry("memory.stat", cache)
	return max(0, used-inactive), err
}

// Processes returns the processes of the group.
func (g *Group) Processes() ([]int, error) {
	text, err := os.ReadFile(filepath.Join(g.memory, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("reading a control group: %w", err)
	}
	var pids []int
	for _, pid := range bytes.Fields(text) {
		pids = append(pids, int(number(pid)))
	}
	return pids, nil
}

func (g *Group) number(dir, file string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, fmt.Errorf("reading a control group: %w", err)
	}
	return number(bytes.TrimSpace(text)), nil
}

// entry returns the number behind a name in a file of names and numbers.
func (g *Group) entry(file, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.memory, file))
	if err != nil {
		return 0, fmt.Errorf("reading a control group: %w", err)
	}
	n, ok := value(text, name)
	if !ok {
		return 0, fmt.Errorf("reading a control group: %s has no %s", file, strings.TrimSpace(name))
	}
	return n, nil
}
