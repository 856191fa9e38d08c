//go:build !linux && !darwin

package device

import "errors"

func systemMemory() (memory, error) {
	return memory{}, errors.New("not known on this system: declare the device in the config, under devices:")
}
