package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// building is in the name of a container that does not have all its files yet. The next Create removes one that a crash left.
// Containers with the service's own name are always complete.
const building = "-new"

// Create implements [driver.Driver].
func (d *Driver) Create(ctx context.Context, spec driver.Spec) error {
	if err := d.agree(ctx); err != nil {
		return err
	}
	if err := checkSpec(spec); err != nil {
		return err
	}
	if err := d.own(ctx); err != nil {
		return err
	}
	networkID, err := d.ensureNetwork(ctx)
	if err != nil {
		return err
	}
	there, err := d.find(ctx, spec.Service)
	switch {
	case err == nil && (there.State.Running || there.State.Restarting):
		return nil
	case err == nil && !fits(there, spec, networkID):
		if err := d.removeContainer(ctx, there.ID); err != nil {
			return err
		}
	case err == nil:
		if err := d.volumeThere(ctx, spec.Volume); err != nil {
			return err
		}
		return d.recognise(ctx, there.ID, mountPoint(spec), spec.Data())
	case !missing(err):
		return err
	}
	if err := d.ensureVolume(ctx, spec); err != nil {
		return err
	}
	return d.build(ctx, spec, networkID)
}

// fits reports whether a container that does not run matches spec. A network that was recreated has another id.
func fits(c container.InspectResponse, spec driver.Spec, networkID string) bool {
	if c.Config.Labels[driver.LabelSpecHash] != spec.Hash() || generationOf(c.Config.Labels) != max(1, spec.Generation) || c.State.Dead {
		return false
	}
	for _, n := range c.NetworkSettings.Networks {
		if n.NetworkID != "" && n.NetworkID != networkID {
			return false
		}
	}
	return true
}

// build creates a container under a temporary name, checks that its volume is the spec's, adds the files, and renames it.
func (d *Driver) build(ctx context.Context, spec driver.Spec, networkID string) error {
	img, err := d.client.ImageInspect(ctx, spec.Image)
	if err != nil {
		return pullError(spec.Image, err)
	}
	name, temporary := d.nameFor(spec), d.prefix()+spec.Service+building
	if err := d.removeContainer(ctx, temporary); err != nil {
		return err
	}
	config, host, networks := plan(spec, names{
		installation: d.installation, volume: d.volumeOf(spec.Volume), network: networkID, digest: digestOf(img),
	})
	made, err := d.client.ContainerCreate(ctx, config, host, networks, nil, temporary)
	if err != nil {
		return failed(err, "creating container %s", name)
	}
	if err := d.recognise(ctx, made.ID, mountPoint(spec), spec.Data()); err != nil {
		return errors.Join(err, d.removeContainer(ctx, made.ID))
	}
	files, err := filesOf(spec, owner(spec.User, img))
	if err == nil && files.Len() > 0 {
		err = d.client.CopyToContainer(ctx, made.ID, "/", files, container.CopyToContainerOptions{})
	}
	if err != nil {
		return failed(err, "putting the files into container %s", name)
	}
	if err := d.client.ContainerRename(ctx, made.ID, name); err != nil {
		return failed(err, "naming container %s", name)
	}
	d.names.Store(spec.Service, name)
	return nil
}

// digestOf returns the registry's digest of an image, or the engine's id of an image that no registry has.
func digestOf(img image.InspectResponse) string {
	if len(img.RepoDigests) > 0 {
		return img.RepoDigests[0]
	}
	return img.ID
}

// owner returns the numeric user and group that the engine runs as; root if only the image defines them.
func owner(user string, img image.InspectResponse) (id [2]int) {
	if user == "" && img.Config != nil {
		user = img.Config.User
	}
	u, g, hasGroup := strings.Cut(user, ":")
	uid, err := strconv.Atoi(u)
	if err != nil {
		return id
	}
	id = [2]int{uid, uid}
	if gid, err := strconv.Atoi(g); hasGroup && err == nil {
		id[1] = gid
	}
	return id
}

// filesOf returns a tar of the configuration, readable by every user in the container, because the user of the image is
// unknown. While the volume is new, the tar also has the folders in the data.
func filesOf(spec driver.Spec, owner [2]int) (*bytes.Buffer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	folder := func(name string) error {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(name, "/") + "/", Mode: 0o755, Uid: owner[0], Gid: owner[1]})
	}
	var err error
	if len(spec.Files) > 0 {
		err = folder(configFolder)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Files)) {
		text := spec.Files[name]
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path.Join(configFolder, name), "/"),
			Mode: 0o444, Size: int64(len(text)), Uid: owner[0], Gid: owner[1]}))
		_, writeErr := w.Write([]byte(text))
		err = errors.Join(err, writeErr)
	}
	if !spec.DataMustExist {
		for _, name := range spec.Folders {
			err = errors.Join(err, folder(path.Join(mountPoint(spec), name)))
		}
	}
	if len(spec.Files)+len(spec.Folders) == 0 {
		return &bytes.Buffer{}, nil
	}
	return &buf, errors.Join(err, w.Close())
}

// ensureNetwork returns the id of the installation's network, which it makes if it is missing. The engine allows several
// networks of one name, so one caller at a time looks for it and makes it, and all others use the id.
func (d *Driver) ensureNetwork(ctx context.Context) (string, error) {
	if err := d.networking.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer d.networking.Release(1)
	if err := d.agree(ctx); err != nil {
		return "", err
	}
	found, err := d.client.NetworkList(ctx, network.ListOptions{Filters: d.labelled()})
	if err != nil {
		return "", failed(err, "listing the networks")
	}
	if len(found) > 0 {
		oldest := slices.MinFunc(found, func(a, b network.Summary) int { return a.Created.Compare(b.Created) })
		return oldest.ID, nil
	}
	made, err := d.client.NetworkCreate(ctx, d.network(), network.CreateOptions{
		Driver: "bridge", Labels: map[string]string{driver.LabelInstallation: d.installation},
	})
	if err != nil {
		return "", failed(err, "making network %s", d.network())
	}
	return made.ID, nil
}

func (d *Driver) ensureVolume(ctx context.Context, spec driver.Spec) error {
	if spec.DataMustExist {
		return d.volumeThere(ctx, spec.Volume)
	}
	v, err := d.client.VolumeCreate(ctx, volume.CreateOptions{
		Name: d.volumeOf(spec.Volume), Driver: "local",
		Labels: map[string]string{driver.LabelInstallation: d.installation, labelVolume: spec.Volume, driver.LabelName: spec.Name},
	})
	if err != nil {
		return failed(err, "making volume %s", d.volumeOf(spec.Volume))
	}
	return d.complete(ctx, spec.Volume, v.Labels)
}
