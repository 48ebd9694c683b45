package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/jsonmessage"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/docker/dockerconfig"
)

// progressEvery is the interval between two reports of a pull's progress.
const progressEvery = 200 * time.Millisecond

// Prepare implements [driver.Driver]. It does not pull an image that the engine has, even if the registry has a newer one.
func (d *Driver) Prepare(ctx context.Context, spec driver.Spec, progress func(driver.Progress)) error {
	if progress == nil {
		progress = func(driver.Progress) {}
	}
	if spec.Image == "" {
		return driver.Errorf(driver.Invalid, "service %s: no image is named", spec.Service)
	}
	if err := d.agree(ctx); err != nil {
		return err
	}
	_, err := d.client.ImageInspect(ctx, spec.Image)
	if err == nil {
		progress(driver.Progress{Step: "image " + spec.Image + " is here", Percent: 100})
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return pullError(spec.Image, err)
	}
	progress(driver.Progress{Step: "pulling image " + spec.Image, Percent: -1})
	auth, err := dockerconfig.RegistryAuth(ctx, d.config, spec.Image)
	if err != nil { // most images need none
		d.log.Warn("pulling without the docker command's credentials", "image", spec.Image, "error", err)
	}
	stream, err := d.client.ImagePull(ctx, spec.Image, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return pullError(spec.Image, err)
	}
	defer stream.Close()
	if err := pulled(stream, spec.Image, progress); err != nil {
		if ctx.Err() != nil {
			return failed(ctx.Err(), "pulling image %s", spec.Image)
		}
		return pullError(spec.Image, err)
	}
	progress(driver.Progress{Step: "image " + spec.Image + " is here", Percent: 100})
	return nil
}

// pulled reads the stream of a pull to its end and reports the progress. The errors of a pull are in the stream.
func pulled(stream io.Reader, ref string, progress func(driver.Progress)) error {
	var layers downloads
	var told time.Time
	for in := json.NewDecoder(stream); ; {
		var m jsonmessage.JSONMessage
		err := in.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return m.Error
		}
		layers.note(m)
		if time.Since(told) >= progressEvery {
			told = time.Now()
			progress(layers.progress(ref))
		}
	}
}

// downloads are the layers of one pull, by id.
type downloads map[string]struct{ done, total int64 }

func (l *downloads) note(m jsonmessage.JSONMessage) {
	if *l == nil {
		*l = downloads{}
	}
	layer := (*l)[m.ID]
	switch m.Status {
	case "Downloading":
		if m.Progress != nil && m.Progress.Total > 0 {
			layer.done, layer.total = m.Progress.Current, m.Progress.Total
		}
	case "Download complete", "Extracting", "Pull complete":
		layer.done = layer.total
	default:
		return
	}
	(*l)[m.ID] = layer
}

func (l downloads) progress(ref string) driver.Progress {
	var done, total int64
	for _, layer := range l {
		done, total = done+layer.done, total+layer.total
	}
	if total == 0 {
		return driver.Progress{Step: "pulling image " + ref, Percent: -1}
	}
	const mb = 1e6
	return driver.Progress{
		Step:    fmt.Sprintf("pulling image %s: %.1f of %.1f MB", ref, float64(done)/mb, float64(total)/mb),
		Percent: min(99, 100*float64(done)/float64(total)), // the rest is unpacking
	}
}
