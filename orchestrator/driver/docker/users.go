package docker

import (
	"archive/tar"
	"bufio"
	"cmp"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// maxUsers is how many bytes of a file with users are read.
const maxUsers = 1 << 20

// users are those that an image defines, in the folder of passwd and group.
type users struct{ content }

// owner returns the user and group that the engine runs as, by numbers.
// Errors: [driver.Invalid] if the image does not define them.
func (u users) owner(user string, img image.InspectResponse) (id [2]int, err error) {
	if img.Config != nil {
		user = cmp.Or(user, img.Config.User)
	}
	if user == "" {
		return id, nil
	}
	name, group, hasGroup := strings.Cut(user, ":")
	if uid, err := strconv.Atoi(name); err == nil {
		id = [2]int{uid, uid}
	} else {
		fields, err := u.line("passwd", name) // name:password:uid:gid:...
		if err != nil {
			return id, err
		}
		if id, err = numbers(fields, name); err != nil {
			return id, err
		}
	}
	if !hasGroup {
		return id, nil
	}
	if gid, err := strconv.Atoi(group); err == nil {
		id[1] = gid
		return id, nil
	}
	fields, err := u.line("group", group) // name:password:gid:...
	if err != nil {
		return id, err
	}
	id[1], err = strconv.Atoi(fields[2])
	return id, err
}

func numbers(fields []string, name string) (id [2]int, err error) {
	if len(fields) < 4 {
		return id, driver.Errorf(driver.Invalid, "the image's /etc/passwd does not tell the group of user %q; name the user by numbers", name)
	}
	uid, err := strconv.Atoi(fields[2])
	gid, groupErr := strconv.Atoi(fields[3])
	if err := errors.Join(err, groupErr); err != nil {
		return id, driver.Errorf(driver.Invalid, "the image's /etc/passwd has no numbers for user %q: %w", name, err)
	}
	return [2]int{uid, gid}, nil
}

// line returns the fields of a line that begins with a name, at least three.
// Errors: [driver.Invalid] if there is none.
func (u users) line(file, name string) ([]string, error) {
	text, err := u.read(file)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if fields := strings.Split(lines.Text(), ":"); fields[0] == name && len(fields) > 2 {
			return fields, nil
		}
	}
	return nil, driver.Errorf(driver.Invalid, "the image's %s has no line for %q; name the user by numbers", path.Join(u.root, file), name)
}

// read returns a file of the image, empty if there is none.
func (u users) read(file string) (string, error) {
	from := path.Join(u.root, file)
	files, _, err := u.client.CopyFromContainer(u.ctx, u.container, from)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", failed(err, "reading %s of the image", from)
	}
	defer files.Close()
	r := tar.NewReader(files)
	if _, err := r.Next(); err != nil {
		return "", failed(err, "reading %s of the image", from)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxUsers))
	if err != nil {
		return "", failed(err, "reading %s of the image", from)
	}
	return string(text), nil
}
