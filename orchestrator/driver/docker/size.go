package docker

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/versions"
	"golang.org/x/sync/semaphore"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/machine"
)

const (
	// sizesAPI is the version of the API since which an engine can be asked for the sizes of volumes alone (Docker 23).
	sizesAPI = "1.42"
	// sizesEvery is how often an engine is asked for sizes, because it reads the folders of all volumes then.
	sizesEvery = 2 * time.Minute
)

// sizes are those of all volumes of an engine, as it told last.
type sizes struct {
	asking *semaphore.Weighted // held while the others are used
	at     time.Time
	all    map[string]int64 // by the engine's name of the volume; negative: unknown
}

// Size implements [driver.Sizer]. It reads the folder of a volume on this machine, if it may, and otherwise asks the engine, whose
// answer can be two minutes old.
func (d *Driver) Size(ctx context.Context, volume string) (int64, error) {
	if err := d.agree(ctx); err != nil {
		return 0, err
	}
	v, err := d.inspectVolume(ctx, volume)
	if err != nil {
		return 0, err
	}
	if d.isHere(ctx) {
		bytes, err := machine.Size(ctx, v.Mountpoint)
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			return bytes, err
		}
	}
	if versions.LessThan(d.client.ClientVersion(), sizesAPI) {
		return 0, driver.Errorf(driver.Invalid, "the engine cannot tell the size of a volume: it has version %s of the API, and %s (Docker 23) is needed",
			d.client.ClientVersion(), sizesAPI)
	}
	return d.sizeByEngine(ctx, v.Name)
}

// sizeByEngine returns the size of a volume that the engine tells.
func (d *Driver) sizeByEngine(ctx context.Context, name string) (int64, error) {
	s := &d.sizes
	if err := s.asking.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer s.asking.Release(1)
	bytes, known := s.all[name]
	if !known || time.Since(s.at) >= sizesEvery {
		use, err := d.client.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
		if err != nil {
			return 0, failed(err, "asking the engine for the sizes of its volumes")
		}
		s.at, s.all = time.Now(), map[string]int64{}
		for _, v := range use.Volumes {
			if v.UsageData != nil {
				s.all[v.Name] = v.UsageData.Size
			}
		}
		if bytes, known = s.all[name]; !known {
			return 0, driver.Errorf(driver.DataMissing, "the engine has no volume %s", name)
		}
	}
	if bytes < 0 {
		return 0, driver.Errorf(driver.Invalid, "the engine cannot tell the size of volume %s", name)
	}
	return bytes, nil
}
