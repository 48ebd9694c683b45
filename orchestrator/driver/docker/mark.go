package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// content is the root folder of a volume, read through a container that has it mounted at root. The archive API of the engine
// needs neither a tool in the image nor a running process.
type content struct {
	ctx       context.Context
	client    *client.Client
	container string
	root      string
}

func (c content) MarkText() (string, error) {
	files, _, err := c.client.CopyFromContainer(c.ctx, c.container, path.Join(c.root, driver.MarkFile))
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", failed(err, "reading the mark of a volume")
	}
	defer files.Close()
	r := tar.NewReader(files)
	if _, err := r.Next(); err != nil {
		return "", failed(err, "reading the mark of a volume")
	}
	text, err := io.ReadAll(io.LimitReader(r, driver.MaxMark))
	if err != nil {
		return "", failed(err, "reading the mark of a volume")
	}
	return string(text), nil
}

func (c content) Has(name string) (bool, error) {
	_, err := c.client.ContainerStatPath(c.ctx, c.container, path.Join(c.root, name))
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, failed(err, "looking into a volume")
	}
	return true, nil
}

func (c content) Empty() (bool, error) {
	empty := true
	err := c.each(func(h *tar.Header) bool {
		_, name, _ := strings.Cut(path.Clean(h.Name), "/")
		first, _, _ := strings.Cut(name, "/")
		empty = name == "" || driver.Ignored(first)
		return empty
	})
	return empty, err
}

// each calls yield for the root of the volume and its content until yield returns false.
func (c content) each(yield func(*tar.Header) bool) error {
	files, _, err := c.client.CopyFromContainer(c.ctx, c.container, c.root)
	if err != nil {
		return failed(err, "looking into a volume")
	}
	defer files.Close()
	r := tar.NewReader(files)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failed(err, "looking into a volume")
		}
		if !yield(h) {
			return nil
		}
	}
}

// recognise checks that the volume that a container has at root is data.
// Errors: [driver.DataMissing] if it is not.
func (d *Driver) recognise(ctx context.Context, containerID, root string, data driver.Data) error {
	return data.Recognise("volume "+d.volumeOf(data.Volume), content{ctx, d.client, containerID, root})
}

// MarkData implements [driver.Driver]. The file belongs to the owner of the volume's root, so that the engine and its
// entrypoint can treat it like their own files.
func (d *Driver) MarkData(ctx context.Context, service, note string) error {
	c, err := d.find(ctx, service)
	if err != nil {
		return err
	}
	if len(c.HostConfig.Mounts) == 0 {
		return driver.Errorf(driver.Conflict, "container %s has no volume", d.containerOf(service))
	}
	root := c.HostConfig.Mounts[0].Target
	h := tar.Header{Typeflag: tar.TypeReg, Name: driver.MarkFile, Mode: 0o444}
	err = content{ctx, d.client, c.ID, root}.each(func(r *tar.Header) bool {
		h.Uid, h.Gid = r.Uid, r.Gid
		return false
	})
	if err != nil {
		return err
	}
	text := driver.MarkText(c.Config.Labels[labelVolume], note)
	h.Size = int64(len(text))
	var file bytes.Buffer
	w := tar.NewWriter(&file)
	err = w.WriteHeader(&h)
	_, writeErr := io.WriteString(w, text)
	if err := errors.Join(err, writeErr, w.Close()); err != nil {
		return err
	}
	if err := d.client.CopyToContainer(ctx, c.ID, root, &file, container.CopyToContainerOptions{}); err != nil {
		return failed(err, "marking the volume of container %s", d.containerOf(service))
	}
	return nil
}

// ReadMark implements [driver.Driver].
func (d *Driver) ReadMark(ctx context.Context, volume string) (text string, err error) {
	if err := d.agree(ctx); err != nil {
		return "", err
	}
	if err := d.volumeThere(ctx, volume); err != nil {
		return "", err
	}
	err = d.withVolume(ctx, volume, func(c content) (err error) {
		text, err = c.MarkText()
		return err
	})
	return text, err
}

// lookInto recognises a volume, which must exist.
func (d *Driver) lookInto(ctx context.Context, data driver.Data) error {
	if !data.Used {
		return nil
	}
	return d.withVolume(ctx, data.Volume, func(c content) error {
		return data.Recognise("volume "+d.volumeOf(data.Volume), c)
	})
}

// cleanupTimeout bounds the removal of what is only needed during a call, which begins when the call's context may have ended.
const cleanupTimeout = 30 * time.Second

// withVolume calls look with a container that has the volume. The container is never started, and removed afterwards.
func (d *Driver) withVolume(ctx context.Context, volume string, look func(content) error) error {
	return d.withContainer(ctx, volume, "look-"+strings.ToLower(rand.Text()[:6]), look)
}

// withContainer is withVolume with a container for a purpose, which is part of its name, after a dot: no service's container has such
// a name.
func (d *Driver) withContainer(ctx context.Context, volume, purpose string, look func(content) error) (err error) {
	if err := d.ensureClaimImage(ctx); err != nil {
		return err
	}
	config := &container.Config{Image: claimImage, Cmd: []string{"/never-started"}, Labels: map[string]string{driver.LabelInstallation: d.installation}}
	host := &container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{volumeMount(d.volumeOf(volume), dataFolder, true)}}
	name := d.volumeOf(volume) + "." + purpose
	defer func() { // also if ctx ended while the engine created it
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, d.removeContainer(within, name))
	}()
	made, err := d.client.ContainerCreate(ctx, config, host, nil, nil, name)
	if err != nil {
		return failed(err, "creating container %s for a volume", name)
	}
	return look(content{ctx, d.client, made.ID, dataFolder})
}

// volumeMount mounts a volume. The engine fills an empty volume with the image's files at target unless it must stay as it
// is.
func volumeMount(volume, target string, asIs bool) mount.Mount {
	m := mount.Mount{Type: mount.TypeVolume, Source: volume, Target: target}
	if asIs {
		m.VolumeOptions = &mount.VolumeOptions{NoCopy: true}
	}
	return m
}
