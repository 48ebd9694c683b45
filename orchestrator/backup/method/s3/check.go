package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // as S3 has it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// Check compares the number and the bytes of the objects of each bucket, and reads a sample of them, drawn by lot when
// they were saved, whose checksums it compares.
func (m Method) Check(ctx context.Context, restored method.Instance, expected method.Saved) (method.Report, error) {
	began := time.Now()
	var details Details
	if err := json.Unmarshal(expected.Details, &details); err != nil {
		return method.Report{}, &method.DamagedError{What: "its details are not those of S3", Err: err}
	}
	c, err := m.client(restored)
	if err != nil {
		return method.Report{}, err
	}
	defer c.close()
	var report method.Report
	var count, bytes int64
	for _, want := range expected.Contents.Groups {
		got := method.Group{}
		err := c.objects(ctx, want.Name, func(o minio.ObjectInfo) error {
			got.Count++
			got.Bytes += o.Size
			return nil
		})
		switch {
		case gone(err):
			report.Fail(fmt.Sprintf("bucket %s is missing", want.Name))
		case err != nil:
			return report, err
		case got.Count != want.Count || got.Bytes != want.Bytes:
			report.Fail(fmt.Sprintf("bucket %s has %d objects of %d bytes, and %d of %d were saved", want.Name, got.Count, got.Bytes, want.Count, want.Bytes))
		}
		count += got.Count
		bytes += got.Bytes
	}
	for _, sample := range details.Sample {
		if err := c.compare(ctx, &report, sample); err != nil {
			return report, err
		}
	}
	report.Add("buckets", int64(len(expected.Contents.Groups)))
	report.Add("objects", count)
	report.Add("bytes", bytes)
	report.Add("objects read", int64(len(details.Sample)))
	report.Duration = time.Since(began)
	return report, nil
}

// compare reads an object of the sample.
func (c *client) compare(ctx context.Context, report *method.Report, sample Sample) error {
	body, _, _, err := c.GetObject(ctx, sample.Bucket, string(sample.Key), minio.GetObjectOptions{})
	if gone(err) {
		report.Fail(fmt.Sprintf("bucket %s: object %.200q is missing", sample.Bucket, sample.Key))
		return nil
	}
	if err != nil {
		return fmt.Errorf("bucket %s, object %.200q: %w", sample.Bucket, sample.Key, err)
	}
	defer body.Close()
	sum := md5.New() //nolint:gosec // as S3 has it
	if _, err := io.Copy(sum, body); err != nil {
		return fmt.Errorf("bucket %s, object %.200q: %w", sample.Bucket, sample.Key, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != sample.MD5 {
		report.Fail(fmt.Sprintf("bucket %s: object %.200q has another content", sample.Bucket, sample.Key))
	}
	return nil
}
