package docker

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"
	"golang.org/x/sys/unix"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/archive"
)

const (
	// labelImport is on volumes that were imported and, with the volume's id, on the containers that mark unfinished imports.
	labelImport = "uws.import"
	// purposeImport is in the name of the container that marks an unfinished import of a volume. It is of the service's image and
	// never started. It exists before the volume and until the volume is complete: a volume with labelImport and such a container is
	// none. The container does not have the volume.
	purposeImport = "import"
	purposeFill   = "fill" // of the container through which a volume is filled
)

// Import implements [driver.Exporter]. Docker cannot rename volumes, so a mark tells a volume that is not complete, see purposeImport.
// Times before 1970 become 1970.
func (d *Driver) Import(ctx context.Context, spec driver.Spec, r io.Reader) (err error) {
	if err := d.own(ctx); err != nil {
		return err
	}
	if err := checkSpec(spec); err != nil {
		return err
	}
	free, err := d.useVolume(ctx, spec.Volume)
	if err != nil {
		return err
	}
	defer free()
	if err := d.removeUnfinished(ctx, spec.Volume); err != nil {
		return err
	}
	name := d.volumeOf(spec.Volume)
	switch _, err := d.client.VolumeInspect(ctx, name); {
	case err == nil:
		return driver.Errorf(driver.Conflict, "volume %s exists already; import into another volume, or delete it first", name)
	case !errdefs.IsNotFound(err):
		return failed(err, "inspecting volume %s", name)
	}
	defer func() {
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			err = failed(ctx.Err(), "importing volume %s", name)
		}
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, d.removeUnfinished(within, spec.Volume))
	}()
	owner, err := d.markImport(ctx, spec)
	if err != nil {
		return err
	}
	_, err = d.client.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: map[string]string{
		driver.LabelInstallation: d.installation, labelVolume: spec.Volume, driver.LabelName: spec.Name, labelImport: "true"}})
	if err != nil {
		return failed(err, "making volume %s", name)
	}
	err = d.withContainer(ctx, spec.Volume, purposeFill, func(c content) error { return c.fill(r, owner) })
	if err != nil {
		return err
	}
	d.syncVolume(ctx, name)
	return d.removeContainer(ctx, name+"."+purposeImport)
}

// useVolume returns a function that ends the use of a volume by an export or import.
// Errors: [driver.Conflict] while another one uses it.
func (d *Driver) useVolume(ctx context.Context, volume string) (func(), error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return nil, err
	}
	if err := d.agree(ctx); err != nil {
		return nil, err
	}
	if _, used := d.transfers.LoadOrStore(volume, true); used {
		return nil, driver.Errorf(driver.Conflict, "volume %s is being exported or imported; wait until that has ended", d.volumeOf(volume))
	}
	return func() { d.transfers.Delete(volume) }, nil
}

// markImport creates the mark of an import, and returns the owner of the files.
func (d *Driver) markImport(ctx context.Context, spec driver.Spec) (owner [2]int, err error) {
	img, err := d.client.ImageInspect(ctx, spec.Image)
	if err != nil {
		return owner, pullError(spec.Image, err)
	}
	config := &container.Config{Image: spec.Image, Entrypoint: []string{"/never-started"}, Labels: map[string]string{
		driver.LabelInstallation: d.installation, labelImport: spec.Volume}}
	name := d.volumeOf(spec.Volume) + "." + purposeImport
	made, err := d.client.ContainerCreate(ctx, config, &container.HostConfig{NetworkMode: "none"}, nil, nil, name)
	if err != nil {
		return owner, failed(err, "creating container %s", name)
	}
	return users{content{ctx, d.client, made.ID, "/etc"}}.owner(spec.User, img)
}

// fill puts the files of an archive into the volume of a container.
func (c content) fill(r io.Reader, owner [2]int) error {
	files, w := io.Pipe()
	repacked := make(chan error, 1)
	go func() {
		err := repack(c.ctx, r, w, c.root, owner)
		repacked <- err
		w.CloseWithError(err)
	}()
	err := c.client.CopyToContainer(c.ctx, c.container, "/", files, container.CopyToContainerOptions{})
	_ = files.Close() // ends the other, if the engine did not take everything
	if cause := <-repacked; cause != nil && !errors.Is(cause, io.ErrClosedPipe) {
		return cause
	}
	if err != nil {
		return failed(err, "filling a volume")
	}
	return nil
}

// repack writes the archive of a volume as the engine unpacks it: with the volume at root, and of the owner.
func repack(ctx context.Context, r io.Reader, w io.Writer, root string, owner [2]int) error {
	in, to := archive.NewReader(ctx, r), archive.NewWriter(ctx, w)
	h := &tar.Header{Typeflag: tar.TypeDir, Mode: 0o700, ModTime: time.Now()}
	for {
		if h.Typeflag == tar.TypeLink {
			h.Linkname = root[1:] + "/" + h.Linkname
		}
		e := archive.Entry(h, root[1:]+"/"+h.Name)
		e.Uid, e.Gid = owner[0], owner[1]
		if err := to.Add(e, in); err != nil {
			return err
		}
		var err error
		if h, err = in.Next(); errors.Is(err, io.EOF) {
			return to.Close()
		} else if err != nil {
			return err
		}
	}
}

// syncVolume makes a volume of an engine on this machine durable, as far as uws may enter its folder. Others cannot be asked to.
func (d *Driver) syncVolume(ctx context.Context, name string) {
	v, err := d.client.VolumeInspect(ctx, name)
	if err != nil || !d.isHere(ctx) {
		return
	}
	dir, err := os.Open(v.Mountpoint)
	if err != nil {
		return
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		d.log.WarnContext(ctx, "syncing an imported volume failed", "volume", name, "error", err)
	}
}

// complete checks that a volume with these labels was not left incomplete by an import.
// Errors: [driver.DataMissing] if it was.
func (d *Driver) complete(ctx context.Context, volume string, labels map[string]string) error {
	if !imported(labels) {
		return nil
	}
	half, err := d.unfinished(ctx, volume)
	if err == nil && half {
		err = driver.Errorf(driver.DataMissing, "volume %s is not complete: its import has not ended, or was interrupted", d.volumeOf(volume))
	}
	return err
}

// unfinished reports whether the import of a volume has not been finished.
func (d *Driver) unfinished(ctx context.Context, volume string) (bool, error) {
	_, err := d.findNamed(ctx, d.volumeOf(volume)+"."+purposeImport)
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// removeUnfinished removes the volume of an import that was not finished, and what exports and imports left. The mark goes last.
func (d *Driver) removeUnfinished(ctx context.Context, volume string) error {
	name := d.volumeOf(volume)
	for _, purpose := range []string{purposeExport, purposeFill} {
		if err := d.removeContainer(ctx, name+"."+purpose); err != nil {
			return err
		}
	}
	half, err := d.unfinished(ctx, volume)
	if err != nil || !half {
		return err
	}
	if err := d.client.VolumeRemove(ctx, name, false); err != nil && !errdefs.IsNotFound(err) {
		return failed(err, "removing the unfinished volume %s", name)
	}
	return d.removeContainer(ctx, name+"."+purposeImport)
}

// unfinishedImports returns the ids of volumes that are not complete.
func (d *Driver) unfinishedImports(ctx context.Context) (map[string]bool, error) {
	found, err := d.client.ContainerList(ctx, container.ListOptions{All: true, Filters: d.labelled(labelImport)})
	if err != nil {
		return nil, failed(err, "looking for unfinished imports")
	}
	all := map[string]bool{}
	for _, c := range found {
		all[c.Labels[labelImport]] = true
	}
	return all, nil
}

// imported reports whether a volume with these labels was made by Import.
func imported(labels map[string]string) bool { return labels[labelImport] != "" }
