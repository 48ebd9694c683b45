// Package machine measures this Linux machine: all of it, its processes, its control groups and the folders on its disks. It reads
// the files of the kernel and keeps nothing, so that its functions may be called at any time.
package machine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// ticksPerSecond is the unit of times in /proc/stat and /proc/PID/stat, which is the same on every Linux that Go runs on.
const ticksPerSecond = 100

// Files is the folder that has proc and sys.
type Files string

// Linux has the files of the kernel that runs.
const Linux Files = "/"

func (f Files) path(elem ...string) string {
	return filepath.Join(append([]string{string(f)}, elem...)...)
}

func (f Files) process(pid int, name string) string {
	return f.path("proc", strconv.Itoa(pid), name)
}

// Usage returns what all processes of the machine use. Time that a hypervisor gave to other machines is not counted.
func (f Files) Usage() (driver.NodeUsage, error) {
	use := driver.NodeUsage{At: time.Now().UTC()}
	stat, err := os.ReadFile(f.path("proc", "stat"))
	if err != nil {
		return use, fmt.Errorf("measuring the machine: %w", err)
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	cpu := bytes.Fields(line) // cpu user nice system idle iowait irq softirq steal guest guest_nice
	if len(cpu) < 8 {
		return use, fmt.Errorf("measuring the machine: /proc/stat begins with %q", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		ticks += number(cpu[i])
	}
	use.CPU = duration(ticks)
	memory, err := os.ReadFile(f.path("proc", "meminfo"))
	if err != nil {
		return use, fmt.Errorf("measuring the machine: %w", err)
	}
	total, known := value(memory, "MemTotal:")
	available, ok := value(memory, "MemAvailable:")
	if !known || !ok {
		return use, fmt.Errorf("measuring the machine: /proc/meminfo has no MemTotal or no MemAvailable")
	}
	use.MemoryTotal = total << 10 // kB
	use.MemoryBytes = max(0, total-available) << 10
	return use, nil
}

// value returns the number behind a name at the beginning of a line.
func value(text []byte, name string) (n int64, ok bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				return number(f[0]), true
			}
		}
	}
	return 0, false
}

// number parses a decimal number that the kernel wrote; 0 if it is none.
func number(text []byte) int64 {
	n, _ := strconv.ParseInt(string(text), 10, 64)
	return n
}

func duration(ticks int64) time.Duration {
	return time.Duration(ticks) * (time.Second / ticksPerSecond)
}
