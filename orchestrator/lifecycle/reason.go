package lifecycle

import (
	"fmt"
	"io"
	"slices"
	"strconv"
)

// ReasonCode is a reason for programs; the text beside it is for people. To add one: a constant and its entry in
// ReasonCodes here, its value and description in the SDL.
type ReasonCode string

const (
	CodeLaunchRequested   ReasonCode = "LAUNCH_REQUESTED"
	CodePlaced            ReasonCode = "PLACED"
	CodeWaitingForNode    ReasonCode = "WAITING_FOR_NODE"
	CodePreparing         ReasonCode = "PREPARING"
	CodePrepared          ReasonCode = "PREPARED"
	CodePrepareFailed     ReasonCode = "PREPARE_FAILED"
	CodeImageNotFound     ReasonCode = "IMAGE_NOT_FOUND"
	CodeStartRequested    ReasonCode = "START_REQUESTED"
	CodeStartFailed       ReasonCode = "START_FAILED"
	CodePortInUse         ReasonCode = "PORT_IN_USE"
	CodeStarted           ReasonCode = "STARTED"
	CodeDataMissing       ReasonCode = "DATA_MISSING"
	CodeDataBack          ReasonCode = "DATA_BACK"
	CodeHealthy           ReasonCode = "HEALTHY"
	CodeProbeFailed       ReasonCode = "PROBE_FAILED"
	CodeProbeRefused      ReasonCode = "PROBE_REFUSED"
	CodeProbeNotAsked     ReasonCode = "PROBE_NOT_ASKED"
	CodeNotReady          ReasonCode = "NOT_READY"
	CodeUnresponsive      ReasonCode = "UNRESPONSIVE"
	CodeExited            ReasonCode = "EXITED"
	CodeEngineFatal       ReasonCode = "ENGINE_FATAL"
	CodeOOMKilled         ReasonCode = "OOM_KILLED"
	CodeCrashLoop         ReasonCode = "CRASH_LOOP"
	CodeDiskFull          ReasonCode = "DISK_FULL"
	CodeDiskLow           ReasonCode = "DISK_LOW"
	CodeDiskOK            ReasonCode = "DISK_OK"
	CodeWriteRefused      ReasonCode = "WRITE_REFUSED"
	CodeStoppedOutside    ReasonCode = "STOPPED_OUTSIDE"
	CodeKilledOutside     ReasonCode = "KILLED_OUTSIDE"
	CodeRestartedOutside  ReasonCode = "RESTARTED_OUTSIDE"
	CodePausedOutside     ReasonCode = "PAUSED_OUTSIDE"
	CodeRemovedOutside    ReasonCode = "REMOVED_OUTSIDE"
	CodeEngineRestarted   ReasonCode = "ENGINE_RESTARTED"
	CodeRestartRequested  ReasonCode = "RESTART_REQUESTED"
	CodeSpecChanged       ReasonCode = "SPEC_CHANGED"
	CodeStopRequested     ReasonCode = "STOP_REQUESTED"
	CodeStopFailed        ReasonCode = "STOP_FAILED"
	CodeStopped           ReasonCode = "STOPPED"
	CodeRemoveRequested   ReasonCode = "REMOVE_REQUESTED"
	CodeRemoveFailed      ReasonCode = "REMOVE_FAILED"
	CodeRemoved           ReasonCode = "REMOVED"
	CodeRotationRequested ReasonCode = "ROTATION_REQUESTED"
	CodeRotated           ReasonCode = "ROTATED"
	CodeRotationFailed    ReasonCode = "ROTATION_FAILED"
	CodeStoppedForBackup  ReasonCode = "STOPPED_FOR_BACKUP"
	CodeBackupComplete    ReasonCode = "BACKUP_COMPLETE"
	CodeBackupFailed      ReasonCode = "BACKUP_FAILED"
	CodeBackupCancelled   ReasonCode = "BACKUP_CANCELLED"
	CodeBackupDeleted     ReasonCode = "BACKUP_DELETED"
	CodeBackupPaused      ReasonCode = "BACKUP_PAUSED"
	CodeBackupLate        ReasonCode = "BACKUP_LATE"
	CodeBackupLogLost     ReasonCode = "BACKUP_LOG_LOST"
	CodeBackupProven      ReasonCode = "BACKUP_PROVEN"
	CodeProofFailed       ReasonCode = "PROOF_FAILED"
	CodeRestoreBegun      ReasonCode = "RESTORE_BEGUN"
	CodeRestored          ReasonCode = "RESTORED"
	CodeRestoreFailed     ReasonCode = "RESTORE_FAILED"
	CodeRestoreCancelled  ReasonCode = "RESTORE_CANCELLED"
	CodeSwapped           ReasonCode = "SWAPPED"
	CodeMoved             ReasonCode = "MOVED"
	CodeMoveFailed        ReasonCode = "MOVE_FAILED"
	CodeMoveCancelled     ReasonCode = "MOVE_CANCELLED"
	CodeQuarantineEnded   ReasonCode = "QUARANTINE_ENDED"
	CodeNodeReady         ReasonCode = "NODE_READY"
	CodeNodeLost          ReasonCode = "NODE_LOST"
	CodeNodeRefused       ReasonCode = "NODE_REFUSED"
	CodeNodeBack          ReasonCode = "NODE_BACK"
	CodeNodeDraining      ReasonCode = "NODE_DRAINING"
	CodeNodeUndrained     ReasonCode = "NODE_UNDRAINED"
	CodeNodeForgotten     ReasonCode = "NODE_FORGOTTEN"
	CodeOrphanFound       ReasonCode = "ORPHAN_FOUND"
	CodeOrphanAdopted     ReasonCode = "ORPHAN_ADOPTED"
	CodeOrphanStopped     ReasonCode = "ORPHAN_STOPPED"
	CodeOrphanRemoved     ReasonCode = "ORPHAN_REMOVED"
	CodeDataDeleted       ReasonCode = "DATA_DELETED"
	CodeNodeRemoved       ReasonCode = "NODE_REMOVED"
	CodeDataMoved         ReasonCode = "DATA_MOVED"
	CodeDataCloned        ReasonCode = "DATA_CLONED"
)

// ReasonCodes are all that there are.
func ReasonCodes() []ReasonCode {
	return []ReasonCode{
		CodeLaunchRequested, CodePlaced, CodeWaitingForNode, CodePreparing, CodePrepared, CodePrepareFailed, CodeImageNotFound,
		CodeStartRequested, CodeStartFailed, CodePortInUse, CodeStarted, CodeDataMissing, CodeDataBack,
		CodeNodeForgotten, CodeOrphanFound, CodeOrphanAdopted, CodeOrphanStopped, CodeOrphanRemoved, CodeDataDeleted,
		CodeHealthy, CodeProbeFailed, CodeProbeRefused, CodeProbeNotAsked, CodeNotReady, CodeUnresponsive,
		CodeExited, CodeEngineFatal, CodeOOMKilled, CodeCrashLoop, CodeDiskFull, CodeDiskLow, CodeDiskOK, CodeWriteRefused,
		CodeStoppedOutside, CodeKilledOutside, CodeRestartedOutside, CodePausedOutside, CodeRemovedOutside, CodeEngineRestarted,
		CodeRestartRequested, CodeSpecChanged, CodeStopRequested, CodeStopFailed, CodeStopped,
		CodeRemoveRequested, CodeRemoveFailed, CodeRemoved,
		CodeRotationRequested, CodeRotated, CodeRotationFailed,
		CodeStoppedForBackup, CodeBackupComplete, CodeBackupFailed, CodeBackupCancelled, CodeBackupDeleted, CodeBackupPaused, CodeBackupLate,
		CodeBackupLogLost, CodeBackupProven, CodeProofFailed, CodeRestoreBegun, CodeRestored, CodeRestoreFailed, CodeRestoreCancelled,
		CodeSwapped, CodeMoved, CodeMoveFailed, CodeMoveCancelled, CodeQuarantineEnded,
		CodeNodeReady, CodeNodeLost, CodeNodeRefused, CodeNodeBack, CodeNodeDraining, CodeNodeUndrained, CodeNodeRemoved,
		CodeDataMoved, CodeDataCloned,
	}
}

// Nillable returns a pointer to c, nil for no code.
func (c ReasonCode) Nillable() *ReasonCode {
	if c == "" {
		return nil
	}
	return &c
}

// UnmarshalGQL accepts the codes exactly as the SDL has them.
func (c *ReasonCode) UnmarshalGQL(v any) error {
	s, ok := v.(string)
	if !ok || !slices.Contains(ReasonCodes(), ReasonCode(s)) {
		return fmt.Errorf("%v is not a ReasonCode", v)
	}
	*c = ReasonCode(s)
	return nil
}

// MarshalGQL writes the code as the SDL has it.
func (c ReasonCode) MarshalGQL(w io.Writer) { _, _ = io.WriteString(w, strconv.Quote(string(c))) }

// NodeTrouble returns what is said of a node that cannot be used, after its name. code is NODE_LOST or NODE_REFUSED.
func NodeTrouble(code ReasonCode) string {
	if code == CodeNodeRefused {
		return "must not be used"
	}
	return "is unreachable"
}
