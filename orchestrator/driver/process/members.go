package process

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/folders"
	"github.com/unicorn-web-services/uws/orchestrator/driver/process/proc"
)

// The environment variables that mark the processes of an instance.
const (
	envInstallation = "UWS_INSTALLATION"
	envService      = "UWS_SERVICE"
	envSpecHash     = "UWS_SPEC_HASH"
	envGeneration   = "UWS_GENERATION"
	envRun          = "UWS_RUN"
	envFolder       = "UWS_FOLDER"
)

// markers are the environment of a process that tells which installation, service and run it belongs to.
type markers struct {
	readable                         bool // false: the environment may not be read, or is empty
	installation, service, hash, run string
	folder, home                     string // folder is empty if an older uws started it
	generation                       int    // 0 if an older uws started it
}

// isMarker reports whether an environment variable is a marker.
func isMarker(name string) bool {
	return name == envInstallation || name == envService || name == envSpecHash || name == envGeneration || name == envRun || name == envFolder
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
		case envGeneration:
			m.generation = driver.ParseGeneration(v)
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

// process is a living process that may be an engine of this installation, by its uid.
type process struct {
	proc.Process
	markers
}

// candidates returns all living processes, except this one, under a uid that engines of this installation run under.
func (d *Driver) candidates() ([]process, error) {
	all, err := proc.List(d.volumes.Ours)
	found := make([]process, 0, len(all))
	for _, p := range all {
		found = append(found, process{p, markersIn(p.Env)})
	}
	return found, err
}

// inFolder reports whether a process runs in this driver's state folder. A copy of the folder has the same state files
// and the same installation as the original, whose engines must not be adopted, stopped or killed from the copy.
func (d *Driver) inFolder(pid int, m markers) bool {
	if m.folder == d.folder.String() || d.holds("/proc/"+strconv.Itoa(pid)+"/cwd") {
		return true
	}
	return m.folder == "" && d.holds(m.home)
}

// holds reports whether path lies in the state folder.
func (d *Driver) holds(path string) bool {
	if path == "" {
		return false
	}
	data, _ := folders.At(d.volumesDir()) // which may be a link to another disk
	return folders.Within(path, d.folder, data)
}

// refuseStrays returns an error if engines of this installation run in another folder: then this one is a copy, or was
// restored while they ran. They hold the ports and, as root, run under the uids of the volumes here.
func (d *Driver) refuseStrays(found []process) error {
	var pids, where []string
	for _, p := range found {
		if p.installation != d.opt.Installation || p.service == "" || d.inFolder(p.PID, p.markers) {
			continue
		}
		pids = append(pids, strconv.Itoa(p.PID))
		if dir, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/cwd"); err == nil && !slices.Contains(where, dir) {
			where = append(where, dir)
		}
	}
	if len(pids) == 0 {
		return nil
	}
	return driver.Errorf(driver.Invalid, "engines of this installation run in another folder (%s): this data folder is a copy, or was restored while they ran. "+
		"If the other folder is gone, stop them with `kill %s` and start uws again; if it is in use, start this one with --clone",
		strings.Join(where, ", "), strings.Join(pids, " "))
}

// marked reports whether a process has the markers of a service of this installation and runs in this state folder.
func (d *Driver) marked(p process, service string) bool {
	return p.installation == d.opt.Installation && p.service == service && d.inFolder(p.PID, p.markers)
}

// runsEngineIn reports whether a process runs a program of the engines' folder in a volume's folder. It is for the backends of
// PostgreSQL, which overwrite their environment, and does not match a user's shell in that folder.
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
	dir, err := os.Stat(d.volumes.Folder(volume))
	return err == nil && os.SameFile(in, dir)
}

// family is what the processes of a service are recognised by.
type family struct {
	service string
	main    *proc.Handle // nil if it has ended
	owner   uint32       // the uid that only its volume has; 0 if unknown
	volume  string       // empty: processes are not looked for in its folder
}

// members returns the living processes of each service, by its id: those that have its markers, descend from its main process, run
// under the uid of its volume, or run an engine in the folder of its volume. A process with the markers of another service or
// installation is never a member. All processes are read once.
func (d *Driver) members(families ...family) (map[string][]process, error) {
	all, err := d.candidates()
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(all))
	for _, p := range all {
		parents[p.PID] = p.Parent
	}
	services, mains, owners := map[string]bool{}, map[int]string{}, map[uint32]string{}
	for _, f := range families {
		services[f.service] = true
		if f.owner != 0 && asRoot() {
			owners[f.owner] = f.service
		}
		if f.main == nil {
			continue
		}
		if _, err := f.main.Stat(); err == nil { // if it has its pid now, it had it while the others were read
			mains[f.main.PID] = f.service
		}
	}
	found := make(map[string][]process, len(families))
	for _, p := range all {
		service := p.service
		if p.installation == "" {
			service = d.unmarked(p, families, owners, mains, parents)
		} else if !services[service] || !d.marked(p, service) {
			service = ""
		}
		if service != "" {
			found[service] = append(found[service], p)
		}
	}
	return found, nil
}

// unmarked returns the service of a process without markers; empty if it belongs to none. owners and mains are the services of uids
// and of main processes, parents the parent of each process.
func (d *Driver) unmarked(p process, families []family, owners map[uint32]string, mains map[int]string, parents map[int]int) string {
	if service := owners[p.UID]; service != "" {
		return service
	}
	for pid, steps := p.PID, 0; pid > 1 && steps <= len(parents); steps++ {
		if service := mains[pid]; service != "" {
			return service
		}
		pid = parents[pid]
	}
	for _, f := range families {
		if d.runsEngineIn(p.PID, f.volume) {
			return f.service
		}
	}
	return ""
}
