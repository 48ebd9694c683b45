package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Claim identifies this copy of a store. All copies have the same installation and would find the same containers. The copy
// that acts on an engine therefore holds a claim there: a container that is never started, with a name that can exist once.
type Claim struct {
	Store string // random id of this copy; empty: claims are neither made nor checked
	Epoch int64  // the copy with the higher epoch takes the claim of the other
	Force bool   // take the claim of any other copy, once
}

const (
	labelClaim = "uws.claim" // the installation; not LabelInstallation, which marks containers that can be adopted
	labelStore = "uws.store"
	labelEpoch = "uws.epoch"

	claimImage = "uws-claim:1"
	claimTries = 5
)

func (d *Driver) claimName() string { return d.prefix() + "claim" }

// own makes sure that this copy of the store holds the claim. It takes the claim if no copy holds it.
// Errors: [driver.Refused] if another copy holds it.
func (d *Driver) own(ctx context.Context) error {
	if d.claim.Store == "" {
		return nil
	}
	if err := d.agree(ctx); err != nil {
		return err
	}
	for range claimTries {
		c, err := d.client.ContainerInspect(ctx, d.claimName())
		if err != nil && !errdefs.IsNotFound(err) {
			return failed(err, "looking at the claim %s", d.claimName())
		}
		epoch := d.claim.Epoch
		if err == nil {
			done, next, err := d.judge(c)
			if done {
				return err
			}
			epoch = next
			if err := d.client.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
				return failed(err, "replacing the claim %s", d.claimName())
			}
		} else if d.lost.Load() {
			return driver.Errorf(driver.Refused, "another copy of this data folder acted on this engine, and its claim has vanished; start uws again with --moved if this is the one to act")
		}
		err = d.take(ctx, epoch)
		if err == nil {
			d.taken.Store(true)
			d.log.InfoContext(ctx, "claim on the engine taken", "store", d.claim.Store, "epoch", epoch)
			return nil
		}
		if !errdefs.IsConflict(err) {
			return failed(err, "making the claim %s", d.claimName())
		}
	}
	return driver.Errorf(driver.Transient, "several copies of this data folder claim this engine at once")
}

// judge decides about an existing claim. done is true if it is this copy's, or another copy's, which is an error. Otherwise
// the claim must be replaced by one with the returned epoch.
func (d *Driver) judge(c container.InspectResponse) (done bool, epoch int64, err error) {
	labels := c.Config.Labels
	if labels[labelClaim] != d.installation {
		return true, 0, driver.Errorf(driver.Refused, "container %s is not a claim of this installation; remove or rename it", d.claimName())
	}
	held, _ := strconv.ParseInt(labels[labelEpoch], 10, 64)
	force := d.claim.Force && !d.taken.Load()
	switch {
	case labels[labelStore] == d.claim.Store:
		d.taken.Store(true)
		d.lost.Store(false)
		return true, 0, nil
	case !force && held >= d.claim.Epoch:
		d.lost.Store(true)
		return true, 0, driver.Errorf(driver.Refused, "another copy of this data folder acts on this engine (epoch %d, here %d). "+
			"If that copy is gone, start uws with --moved; if it is in use, stop this one, or start it with --clone from another copy", held, d.claim.Epoch)
	case force:
		return false, max(held+1, d.claim.Epoch), nil
	}
	return false, d.claim.Epoch, nil
}

// take makes the claim.
// Errors: a conflict if there is one.
func (d *Driver) take(ctx context.Context, epoch int64) error {
	if err := d.ensureClaimImage(ctx); err != nil {
		return err
	}
	config := &container.Config{
		Image: claimImage, Cmd: []string{"/never-started"},
		Labels: map[string]string{labelClaim: d.installation, labelStore: d.claim.Store, labelEpoch: strconv.FormatInt(epoch, 10)},
	}
	_, err := d.client.ContainerCreate(ctx, config, &container.HostConfig{NetworkMode: "none"}, nil, nil, d.claimName())
	return err
}

// ensureClaimImage imports the image unless the engine has it. It uses no registry.
func (d *Driver) ensureClaimImage(ctx context.Context) error {
	_, err := d.client.ImageInspect(ctx, claimImage)
	if errdefs.IsNotFound(err) {
		return d.importClaimImage(ctx)
	}
	return err
}

// importClaimImage makes an image of one text file, because a container needs an image and the engine may have none.
func (d *Driver) importClaimImage(ctx context.Context) error {
	const text = "This image makes containers that are never started. They mark which copy of a uws data folder acts on this engine, or a run of the engine, or give access to a volume.\n"
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	err := w.WriteHeader(&tar.Header{Name: "README", Mode: 0o444, Size: int64(len(text))})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	stream, err := d.client.ImageImport(ctx, image.ImportSource{Source: &files, SourceName: "-"}, claimImage, image.ImportOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := pulled(stream, claimImage, func(driver.Progress) {}); err != nil {
		return fmt.Errorf("importing image %s: %w", claimImage, err)
	}
	return nil
}

// Release implements [driver.Releaser].
func (d *Driver) Release(ctx context.Context) error {
	if d.claim.Store == "" {
		return nil
	}
	if err := d.own(ctx); err != nil {
		return err
	}
	if err := d.removeRunMark(ctx); err != nil {
		return err
	}
	err := d.client.ContainerRemove(ctx, d.claimName(), container.RemoveOptions{Force: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return failed(err, "removing the claim %s", d.claimName())
	}
	return nil
}
