// Package programs provides the programs that the process driver runs: engines, which it installs and verifies, and programs
// that are installed on the machine.
package programs

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// SearchPath is the PATH in which engines and uws look for programs of the machine.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Prepare returns when the program of a spec can be run. An engine is copied from the prebuilt folder, built, or downloaded.
// An engine that uws does not pin is accepted if the prebuilt folder has it: write access to that folder is access to uws. A
// program of the machine is only looked for.
func (s *Store) Prepare(ctx context.Context, spec driver.Spec, progress func(driver.Progress)) error {
	if spec.Program != "" {
		_, err := installed(spec.Program, spec.Package)
		return err
	}
	if err := checkEngine(spec.Engine, spec.EngineVersion); err != nil {
		return err
	}
	return s.fetch(ctx, spec.Engine, spec.EngineVersion, progress)
}

// Program returns the path of the program of the machine called name, or, if name is empty, that of an engine, whose
// checksums it verifies.
func (s *Store) Program(name, engine, version string) (string, error) {
	if name != "" {
		return installed(name, "")
	}
	return s.verified(engine, version)
}

// InitProgram returns the path of the program that makes the data of a spec with an Init: the engine's program, or the one
// named by the Init beside it.
func (s *Store) InitProgram(spec driver.Spec) (string, error) {
	main, err := s.Program(spec.Program, spec.Engine, spec.EngineVersion)
	if err != nil || spec.Init.Program == "" {
		return main, err
	}
	if spec.Program != "" {
		return installed(spec.Init.Program, spec.Package)
	}
	dir := filepath.Join(s.dir, spec.Engine+"-"+spec.EngineVersion)
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

// installed returns the path of a program that is installed on the machine. Its content is not
// verified.
func installed(name, pkg string) (string, error) {
	for dir := range strings.SplitSeq(SearchPath, ":") {
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

// CheckNames refuses a spec whose engine or programs are not plain names.
func CheckNames(spec driver.Spec) error {
	var errs []error
	if spec.Program == "" {
		errs = append(errs, checkEngine(spec.Engine, spec.EngineVersion))
	} else {
		errs = append(errs, checkName(spec.Program))
	}
	if spec.Init != nil && spec.Init.Program != "" {
		errs = append(errs, checkName(spec.Init.Program))
	}
	return errors.Join(errs...)
}

func checkName(name string) error {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return driver.Errorf(driver.Invalid, "program %q must be a plain file name", name)
	}
	return nil
}
