// Package device says what memory a hive has to hold models in: its devices, each with an id, a
// kind, a total and, where something can measure it, what is free, how busy and how hot it is;
// and which environment variables make a process see that device alone.
//
// A Detector reads the machine, each vendor by a source of its own: NVIDIA by nvidia-smi, AMD
// by the amdgpu driver's files below /sys, the processors and the system's memory by /proc or
// sysctl. Override lays the devices an operator declared in the config over what was detected.
// Sizes are bytes; people write them as in 24GiB (Bytes).
//
// Vendors' tools hang when their devices do, sometimes where no signal reaches them. So every
// source has a time limit and bounds on what is read, is asked one question at a time by a
// goroutine that may be left behind, and answers with its last figures and a note when it fails.
// Nothing here waits longer than that, and one vendor's trouble does not touch the others.
//
// A device is named by what its vendor says when it is first seen and keeps that name until the
// agent ends. CUDA's variable is given an index in the order of the bus, not a UUID: vLLM reads
// the variable as numbers and dies of anything else. The index is looked up at each start.
//
// To add a vendor: a file <kind>.go with a type whose read method makes Devices, its line in
// NewDetector, and what it reads, recorded, in testdata/devices.
package device
