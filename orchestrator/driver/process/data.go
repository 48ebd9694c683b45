package process

import (
	"context"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Volumes implements [driver.Driver].
func (d *Driver) Volumes(context.Context) ([]driver.Volume, error) { return d.volumes.List() }

// Size implements [driver.Sizer].
func (d *Driver) Size(ctx context.Context, volume string) (int64, error) {
	return d.volumes.Size(ctx, volume)
}

// HasData implements [driver.Driver].
func (d *Driver) HasData(_ context.Context, data driver.Data) (bool, error) {
	if err := driver.CheckID("volume", data.Volume); err != nil {
		return false, err
	}
	err := d.volumes.Recognise(data)
	switch {
	case err == nil:
		return true, nil
	case driver.ClassOf(err) == driver.DataMissing:
		return false, nil
	}
	return false, err
}

// RemoveData implements [driver.Driver].
func (d *Driver) RemoveData(_ context.Context, data driver.Data) error {
	if err := driver.CheckID("volume", data.Volume); err != nil {
		return err
	}
	return d.volumes.Remove(data, func() error {
		for _, s := range d.all() {
			if volume, running := s.uses(); running && volume == data.Volume {
				return driver.Errorf(driver.Conflict, "the data %s is in use: service %s runs on it; stop it first", volume, s.id)
			}
		}
		return nil
	})
}

// MarkData implements [driver.Driver].
func (d *Driver) MarkData(ctx context.Context, id, note string) error {
	s, unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	volume, _ := s.uses()
	if volume == "" {
		return driver.Errorf(driver.NotCreated, "service %s is not created on this node", id)
	}
	return d.volumes.Mark(volume, note)
}

// ReadMark implements [driver.Driver].
func (d *Driver) ReadMark(_ context.Context, volume string) (string, error) {
	if err := driver.CheckID("volume", volume); err != nil {
		return "", err
	}
	return d.volumes.ReadMark(volume)
}
