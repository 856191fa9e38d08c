package engine

import (
	"os/exec"
	"strings"
	"testing"
)

// What the agent inherited chooses no device for its engines; what the operator wrote does.
func TestAnEngineIsHeldToItsDevice(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
	held := []string{"CUDA_VISIBLE_DEVICES=1"}
	for want, own := range map[string]map[string]string{"1": nil, "7": {"CUDA_VISIBLE_DEVICES": "7"}} {
		d := definition()
		d.Env = own
		env, err := d.environ(Vars{}, held, "mark", "w1")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
		cmd.Env = env
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%v: the engine sees %q, want %s", err, out, want)
		}
	}
}
