package device

import (
	"slices"
	"testing"
	"testing/fstest"
)

func TestAMD(t *testing.T) {
	first := "rocm0 rocm 196592 free 195363 busy 0.37 at 45 ROCR_VISIBLE_DEVICES=GPU-5a1c2d3e4f506172 HIP_VISIBLE_DEVICES=0"
	for _, c := range []struct {
		file  string
		shown *visible
		want  []string
	}{
		// The second has no name of its own: it goes by its place among the compute nodes.
		{"amd-two.txt", nil, []string{first, "rocm1 rocm 24560 free 24535 busy 0 at 31 ROCR_VISIBLE_DEVICES=1 HIP_VISIBLE_DEVICES=0"}},
		{"amd-two.txt", parseMask("GPU-5A1C2D3E4F506172"), []string{first}},
		// The screen's part of an APU's memory holds no model, and another vendor's card is none of ours.
		{"amd-apu.txt", nil, nil},
	} {
		got, err := newAMD(tree(t, recorded(t, c.file)), c.shown).read(t.Context())
		if err != nil || !slices.Equal(figures(got), c.want) {
			t.Errorf("%s %+v: %v\n got %q\nwant %q", c.file, c.shown, err, figures(got), c.want)
		}
	}
	if got, err := newAMD(fstest.MapFS{}, nil).read(t.Context()); err != nil || got != nil {
		t.Errorf("a machine without graphics: %v, %v", got, err)
	}
}
