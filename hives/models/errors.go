package models

import "queen-rbee/hives"

// Codes of what can go wrong with a model, as they stand in a heartbeat.
const (
	CodeNotThere    = "model_source_not_found"    // the source has no such file
	CodeForbidden   = "model_source_forbidden"    // the source wants a token, or another one
	CodeUnreachable = hives.CodeSourceUnreachable // it does not answer, or breaks off again and again
	CodeRefused     = "model_source_refused"      // this hive's config does not allow it
	CodeChanged     = "model_changed"             // its content is not what it was, or not what was promised
	CodeDigest      = "model_digest_mismatch"     // it came whole and is another
	CodeNoSpace     = "no_disk_space"             // the disk or the cache limit is too small
	CodeInUse       = "model_in_use"              // it cannot be replaced now
	CodeDisk        = "model_disk_error"          // the models directory cannot be written or read
)

// coded gives an error the code it lacks.
func coded(code string, err error) error {
	if err == nil || hives.CodeOf(err) != "" {
		return err
	}
	return hives.Errorf(code, "%v", err)
}
