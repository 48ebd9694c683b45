package orchestrator

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// BackupHealth says in one word how well the data of a service is backed up. Its values are those of BackupHealth in the
// SDL, which describes them.
type BackupHealth string

// From none to worst.
const (
	BackupNone     BackupHealth = "NONE"
	BackupOK       BackupHealth = "OK"
	BackupUnproven BackupHealth = "UNPROVEN"
	BackupLate     BackupHealth = "LATE"
	BackupFailing  BackupHealth = "FAILING"
)

// BackupStatus is how well the data of a service is backed up.
type BackupStatus struct {
	State       BackupHealth
	Reason      string
	PolicyID    string     // that applies to it; empty if none does
	LastAt      *time.Time // when the newest complete backup was begun
	ProvenAt    *time.Time // when a backup was proven last
	NextAt      *time.Time // when the next one is due; nil without a policy, and while it is paused
	Running     string     // id of the backup under way; empty if there is none
	SizeBytes   int64      // of the newest one's data
	Backups     int        // complete ones
	Restorable  *Window    // nil if there is nothing to restore
	StoredBytes int64      // that all of them added to their targets
	// LogBehindBytes is how many bytes of the engine's log are not stored yet; nil if no log is received.
	LogBehindBytes *int64
}

// Window is the time that a service can be restored to.
type Window struct {
	From, To   time.Time
	Continuous bool // any moment between; else only those of its backups
}

// BackupTarget is a place that holds backups.
type BackupTarget struct {
	ID        string
	Name      string
	Folder    string // on the control plane's machine; empty: it is an S3 bucket
	ServiceID string // the BUCKET service that has the bucket; empty: another S3
	Endpoint  string
	Region    string
	Bucket    string
	Prefix    string
	AccessKey string
	CreatedAt time.Time

	StoreSavedAt *time.Time // when the newest copy of uws's own store there was made; nil: not known
	KitTakenAt   *time.Time // when its recovery kit was printed; nil: never
	Reachable    bool       // as of CheckedAt
	Reason       string     // why it is not reachable
	CheckedAt    *time.Time // nil: not since uws was started
	StoredBytes  *int64     // nil: not measured since uws was started
	Backups      int        // complete ones in it
	Policies     int        // that use it
	Warnings     []string   // what to know about it

	WriteMiBPerSecond int // 0: not limited
}

// BackupTargetInput says where backups are to be held. Either Folder or S3 is set.
type BackupTargetInput struct {
	Name              string
	Folder            string
	S3                *S3Input
	WriteMiBPerSecond int
}

// S3Input names a bucket: that of a BUCKET service, or of any other S3.
type S3Input struct {
	ServiceID string // with Bucket alone; it is created if it does not exist
	Endpoint  string // an http:// or https:// URL
	Region    string
	Bucket    string
	Prefix    string // keys begin with it, and a slash
	AccessKey string
	SecretKey driver.Secret
	CA        string // PEM; empty: the machine's
}

// BackupTargetUpdate changes a target; nil fields stay.
type BackupTargetUpdate struct {
	AccessKey         *string
	SecretKey         *driver.Secret
	WriteMiBPerSecond *int
}

// BackupPolicy says when services are backed up, where to, and how long backups are kept.
type BackupPolicy struct {
	ID        string
	ServiceID string // the only service it is of; empty: a default
	Kinds     []catalog.Kind
	Labels    map[string]string
	BackupPlan
	CreatedAt time.Time
	UpdatedAt time.Time
	Services  int // that it applies to now
}

// BackupPlan is what a policy says.
type BackupPlan struct {
	TargetID    string
	Schedule    string // cron, five fields
	TimeZone    string // IANA name
	Keep        Keep
	PointInTime bool
	ProveEvery  time.Duration // 0: never
	ProveNodeID string        // empty: on the service's node
	FinalBackup bool
	Paused      bool
}

// Keep is how many backups are kept. One that any of the rules keeps is kept, and so is the newest one.
type Keep struct{ Last, Daily, Weekly, Monthly int }

// BackupPolicyInput makes a policy, or replaces it.
type BackupPolicyInput struct {
	ServiceID string // either of a service, or a default for Kinds and Labels
	Kinds     []catalog.Kind
	Labels    []Label
	BackupPlan
}

// BackupState is where a backup is in its life. Its values are those of BackupState in the SDL.
type BackupState string

// The states of a backup.
const (
	BackupQueued    BackupState = "QUEUED"
	BackupRunning   BackupState = "RUNNING"
	BackupComplete  BackupState = "COMPLETE"
	BackupFailed    BackupState = "FAILED"
	BackupCancelled BackupState = "CANCELLED"
	BackupDeleting  BackupState = "DELETING"
)

// BackupTrigger is what a backup was taken for.
type BackupTrigger string

// The triggers.
const (
	TriggerSchedule BackupTrigger = "SCHEDULE"
	TriggerRequest  BackupTrigger = "REQUEST"
	TriggerRemoval  BackupTrigger = "REMOVAL"
	TriggerMove     BackupTrigger = "MOVE"
)

// Backup is one backup of a service. It outlives the service.
type Backup struct {
	ID          string
	ServiceID   string
	ServiceName string // when it was taken
	Kind        catalog.Kind
	Template    string
	Version     string // of the engine
	NodeID      string // where the service was
	TargetID    string
	PolicyID    string // empty: it was requested
	Trigger     BackupTrigger
	State       BackupState
	Reason      string
	ReasonCode  *lifecycle.ReasonCode
	Pinned      bool // kept until it is unpinned
	CreatedAt   time.Time
	StartedAt   *time.Time
	FinishedAt  *time.Time
	Paused      time.Duration // how long the engine was frozen or stopped for it
	Bytes       int64
	StoredBytes int64
	Files       int
	Contents    json.RawMessage // see package method
	ProvenAt    *time.Time
	Proof       *Proof // the outcome of the newest one; nil: there was none
}

// BackupObject is an object in a backup.
type BackupObject struct {
	Bucket      string
	Key         string // any bytes
	ContentType string
	ETag        string
	ModifiedAt  time.Time
	Bytes       int64
}

// Proof is the outcome of restoring a backup on trial.
type Proof struct {
	At       time.Time
	Proven   bool
	Reason   string // why it is not
	NoRoom   bool   // there was no room to restore it
	Duration time.Duration
	Compared []ProofCheck
	Failures []string
}

// ProofCheck is one kind of thing that was checked.
type ProofCheck struct {
	What  string
	Count int64
}

// BackupFilter selects backups: all that is set must hold.
type BackupFilter struct {
	ServiceID string
	TargetID  string
	Kinds     []catalog.Kind
	States    []BackupState
}

// RestoreInput says what to make of a backup.
type RestoreInput struct {
	Name   string
	NodeID string     // empty: automatic
	At     *time.Time // nil: the end of the backup
	Rotate bool       // replace the credentials once it works
	// Quarantine keeps it from acting on others until [BackupVerbs.EndQuarantine].
	Quarantine bool
}

// MoveInput says where a service is to move.
type MoveInput struct {
	NodeID   string
	TargetID string // that its data goes through; empty: its policy's
	Confirm  bool   // begin; else it is only said what would be done
}

// Move says what moving a service to another node does.
type Move struct {
	Service  *Service
	Restore  *Restore // that does it; nil: it was not begun
	Steps    []string // what is done, in words
	Warnings []string // what to know before
}

// RestorePurpose is what a restore is for.
type RestorePurpose string

// The purposes.
const (
	RestoreService RestorePurpose = "RESTORE"
	RestoreProof   RestorePurpose = "PROOF"
	RestoreMove    RestorePurpose = "MOVE"
)

// RestoreState is the step that a restore is at. Its values are those of RestoreState in the SDL.
type RestoreState string

// The steps of a restore, in order.
const (
	RestoreQueued    RestoreState = "QUEUED"
	RestoreCopying   RestoreState = "COPYING"
	RestoreStarting  RestoreState = "STARTING"
	RestoreLoading   RestoreState = "LOADING"
	RestoreChecking  RestoreState = "CHECKING"
	RestoreComplete  RestoreState = "COMPLETE"
	RestoreFailed    RestoreState = "FAILED"
	RestoreCancelled RestoreState = "CANCELLED"
)

// Over reports whether nothing more happens.
func (s RestoreState) Over() bool {
	return s == RestoreComplete || s == RestoreFailed || s == RestoreCancelled
}

// Restore is the making of a service from a backup.
type Restore struct {
	ID         string
	Purpose    RestorePurpose
	BackupID   string
	Kind       catalog.Kind
	Name       string // of the service to be made
	At         *time.Time
	NodeID     string
	ServiceID  string // of the service that was made; empty before
	State      RestoreState
	Reason     string
	CreatedAt  time.Time
	FinishedAt *time.Time
	Bytes      int64 // of the data
}

// BackupProgress is how far a backup or a restore is.
type BackupProgress struct {
	ID       string
	Step     string // its state
	Text     string // the same in words
	Bytes    int64  // copied so far
	Total    *int64 // nil: not known
	PerSec   int64  // bytes per second, over the last seconds
	Over     bool   // nothing more comes
	Position int64
}

// BackupReader lists backups and what concerns them.
type BackupReader interface {
	BackupTargets(ctx context.Context) ([]BackupTarget, error)
	BackupPolicies(ctx context.Context) ([]BackupPolicy, error)
	Backups(ctx context.Context, filter BackupFilter, page Page) (List[*Backup], error)
	// Backup returns NotFound if there is none.
	Backup(ctx context.Context, id string) (*Backup, error)
	// BackupObjects lists the objects in a backup of a bucket service whose bucket and key, as bucket/key, begin with prefix.
	BackupObjects(ctx context.Context, id, prefix string, page Page) (List[*BackupObject], error)
	// OpenBackupObject returns an object and its content, which ends with ctx. The caller closes it.
	OpenBackupObject(ctx context.Context, id, bucket, key string) (*BackupObject, io.ReadCloser, error)
	// Restores lists those of services of these kinds, the newest first; no kinds means all.
	Restores(ctx context.Context, kinds []catalog.Kind, page Page) (List[*Restore], error)
	Restore(ctx context.Context, id string) (*Restore, error)
	// BackupStatus returns how well s is backed up. It never blocks.
	BackupStatus(s *Service) BackupStatus
	// WatchBackup calls yield with the progress of a backup or a restore until it is over, ctx ends (nil) or yield fails. There
	// is no past: span's cursor means nothing.
	WatchBackup(ctx context.Context, id string, span Span, yield func(BackupProgress) error) (position int64, err error)
}

// BackupVerbs take backups and make services of them.
type BackupVerbs interface {
	// BackUp begins a backup of a service. With an empty targetID it goes to its policy's target. One that is under way
	// already is returned.
	BackUp(ctx context.Context, serviceID, targetID string) (*Backup, error)
	CancelBackup(ctx context.Context, id string) (*Backup, error)
	PinBackup(ctx context.Context, id string, pinned bool) (*Backup, error)
	DeleteBackup(ctx context.Context, id string) (*Backup, error)
	// RestoreBackup begins to make a new service of a backup.
	RestoreBackup(ctx context.Context, id string, in RestoreInput) (*Restore, error)
	// EndQuarantine lets a service that was made from a backup act on others. It returns one that is not in quarantine as it is.
	EndQuarantine(ctx context.Context, serviceID string) (*Service, error)
	// ProveBackup begins to restore a backup on trial and to check the copy.
	ProveBackup(ctx context.Context, id string) (*Restore, error)
	// Move reports what moving a service with its data to another node does, and begins that with Confirm. Conflict if it cannot be
	// moved there.
	Move(ctx context.Context, id string, in MoveInput) (Move, error)
	CancelRestore(ctx context.Context, id string) (*Restore, error)
}

// BackupTargetVerbs change targets and policies.
type BackupTargetVerbs interface {
	// CreateBackupTarget writes, reads and deletes there before it stores anything.
	CreateBackupTarget(ctx context.Context, in BackupTargetInput) (BackupTarget, error)
	UpdateBackupTarget(ctx context.Context, id string, in BackupTargetUpdate) (BackupTarget, error)
	// DeleteBackupTarget forgets a target and its backups; what is stored there stays. Conflict while policies use it.
	DeleteBackupTarget(ctx context.Context, id string) error
	// TestBackupTarget writes, reads and deletes there now.
	TestBackupTarget(ctx context.Context, id string) (BackupTarget, error)
	// RecoveryKit returns a text with all that is needed to restore from a target without this installation.
	RecoveryKit(ctx context.Context, id string) (string, error)
	// ImportBackupTarget takes over a target of another installation, with its backups, by its recovery kit.
	ImportBackupTarget(ctx context.Context, name, kit string, secretKey driver.Secret) (BackupTarget, error)
	SetBackupPolicy(ctx context.Context, id string, in BackupPolicyInput) (BackupPolicy, error)
	DeleteBackupPolicy(ctx context.Context, id string) error
}
