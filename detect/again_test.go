package detect

import (
	"testing"

	"github.com/garita/garita/app"
)

// What is final can be told from the stage, and single headers are looked at
// before their block is.
func TestStagesOfBuffers(t *testing.T) {
	for _, x := range []struct {
		field app.Field
		stage uint8
		from  uint8
	}{
		{app.HTTPUserAgent, app.StageHeaders, app.StageLine},
		{app.HTTPServer, app.StageHeaders, app.StageLine},
		{app.HTTPHeader, app.StageHeaders, app.StageHeaders},
		{app.HTTPHost, app.StageHeaders, app.StageHeaders},
		{app.FileName, app.StageBody, app.StageStarted},
	} {
		d := bufDef{field: x.field, stage: x.stage}
		if got := d.from(); got != x.from {
			t.Errorf("field %d is looked at from stage %d, want %d", x.field, got, x.from)
		}
	}
	for _, x := range []struct {
		stage, progress uint8
		through, want   bool
	}{
		{0, 0, false, false}, {0, 1, false, true}, {app.StageHeaders, app.StageLine, false, false},
		{app.StageHeaders, app.StageHeaders, false, true}, {app.StageBody, app.StageStarted, true, true},
	} {
		if got := isFinal(x.stage, x.progress, x.through); got != x.want {
			t.Errorf("stage %d at %d, through %v: final %v", x.stage, x.progress, x.through, got)
		}
	}
}
