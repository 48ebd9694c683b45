package process

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// programPath is where engines and we look for programs that are installed on the machine.
const programPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program is the path of a program of the machine's own where one is named, else that of an engine, verified.
func (d *Driver) program(installed, engine, version string) (string, error) {
	if installed != "" {
		return findProgram(installed, "")
	}
	return d.engines.verified(engine, version)
}

// initProgram is the path of the program that makes the data: the engine's own, or the one beside it of that name.
func (d *Driver) initProgram(spec driver.Spec) (string, error) {
	main, err := d.program(spec.Program, spec.Engine, spec.EngineVersion)
	if err != nil || spec.Init.Program == "" {
		return main, err
	}
	if spec.Program != "" {
		return findProgram(spec.Init.Program, spec.Package)
	}
	dir := filepath.Join(d.enginesDir(), spec.Engine+"-"+spec.EngineVersion)
	files, err := readChecksums(dir)
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(files[0].path), spec.Init.Program)
	if !slices.ContainsFunc(files, func(f summed) bool { return f.path == beside }) {
		return "", driver.Errorf(driver.Invalid, "engine %s %s has no program %q", spec.Engine, spec.EngineVersion, spec.Init.Program)
	}
	return filepath.Join(dir, beside), nil
}

// findProgram looks for a program that is installed on the machine. Who installed it, and keeps it up to date, vouches
// for it: uws does not check it.
func findProgram(name, pkg string) (string, error) {
	for dir := range strings.SplitSeq(programPath, ":") {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err == nil {
			return path, nil
		}
	}
	if pkg == "" {
		pkg = "package that holds it"
	} else {
		pkg = "package " + pkg
	}
	return "", driver.UnavailableError("the program %s is not installed on this machine; install the %s", name, pkg)
}

// checkProgram says what is wrong with the names of the programs that a spec wants run.
func checkProgram(spec driver.Spec) error {
	var errs []error
	if spec.Program == "" {
		errs = append(errs, checkEngine(spec.Engine, spec.EngineVersion))
	} else {
		errs = append(errs, checkProgramName(spec.Program))
	}
	if spec.Init != nil && spec.Init.Program != "" {
		errs = append(errs, checkProgramName(spec.Init.Program))
	}
	return errors.Join(errs...)
}

func checkProgramName(name string) error {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return driver.Errorf(driver.Invalid, "program %q must be a plain file name", name)
	}
	return nil
}
