package images

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// libraries adds the libraries of this machine that dynamically linked programs and plugins need, and the programs'
// loader, at the same paths. Libraries in the folder own are already in the image. If a plugin needs a library that
// this machine lacks, the server cannot load the plugin. (ldd finds the same libraries, but takes a second instead of a
// hundredth.)
func (t *tree) libraries(own string, files ...string) {
	folders, _ := filepath.Glob("/lib/*-linux-gnu") // as in Debian; the pattern is valid
	folders = append(folders, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
	seen := map[string]bool{}
	for len(files) > 0 && t.err == nil {
		file := files[0]
		files = files[1:]
		loader, needed, err := dependencies(file)
		if err != nil {
			t.err = fmt.Errorf("reading what %s needs: %w", file, err)
			return
		}
		if loader != "" {
			t.file(loader, loader)
		}
		for _, name := range needed {
			if seen[name] {
				continue
			}
			seen[name] = true
			found := firstWith(name, append([]string{own}, folders...))
			switch {
			case found == "" && loader != "":
				t.err = fmt.Errorf("%s needs %s, which this machine does not have", file, name)
			case found == "":
			default:
				if filepath.Dir(found) != own {
					t.file(found, found)
				}
				files = append(files, found)
			}
		}
	}
}

// dependencies returns the loader of an ELF file, if it is a program, and the names of its libraries.
func dependencies(file string) (loader string, needed []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if s := f.Section(".interp"); s != nil {
		path, err := s.Data()
		if err != nil {
			return "", nil, err
		}
		loader = strings.TrimRight(string(path), "\x00")
	}
	needed, err = f.ImportedLibraries()
	return loader, needed, err
}

// firstWith returns the path of a file in the first folder that contains it.
func firstWith(name string, folders []string) string {
	for _, dir := range folders {
		if dir == "" {
			continue
		}
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
