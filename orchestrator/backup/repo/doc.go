// Package repo keeps backups in a kopia repository: encrypted, deduplicated, in a folder or a bucket.
//
// A backup is a kopia snapshot, made of tar streams. The kopia program lists, verifies and restores it without uws:
//
//	kopia repository connect filesystem --path FOLDER --password KEY
//	kopia repository connect s3 --endpoint HOST:PORT --bucket B --prefix P/ --access-key A --secret-access-key S --password KEY
//	kopia snapshot list --all
//	kopia snapshot verify --verify-files-percent=100
//	kopia snapshot restore ID FOLDER
//
// KEY is [Key.Text], P/ ends with a slash, and an http endpoint needs --disable-tls. What kopia has no place for (extended
// attributes, devices and FIFOs) is in the file .uws-attributes of the snapshot, which [Repository.Extract] reads. Hard links
// become copies, which are stored once.
//
// Beside the snapshots there are objects, whose names begin with uws/ and which kopia ignores, for data that comes in small
// pieces all the time: see [Repository.Put].
//
// A repository that was written by a process that died is as it was before the unfinished save; [Repository.Maintain] drops
// what the save left behind. In a folder, each file and its folder are synced before anything refers to it, so that a
// power cut does no harm either. In a bucket that is the server's part.
package repo
