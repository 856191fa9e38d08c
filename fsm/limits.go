package fsm

// Limits of the binary form. Whoever makes commands keeps to them; the codec refuses the
// rest in both directions, naming the field.
const (
	MaxID       = 128      // ids, boots, short words
	MaxName     = 1024     // model refs, tenants, paths, sessions, idempotency keys
	MaxText     = 16 << 10 // messages of failures, urls
	MaxBody     = 33 << 20 // a body as stored; clients may send up to 32 MiB
	MaxCommands = 1 << 16  // commands of a batch
	MaxLabels   = 256      // labels of a hive, constraints of a job
	MaxDevices  = 1024     // devices of a hive
	MaxModels   = 16 << 10 // models of a hive
	MaxHolders  = 256      // queen processes that hold one job
	// MaxSuperseded bounds the earlier boots that a hive's row remembers.
	MaxSuperseded = 8
	MaxAliases    = 64  // other names of a model
	MaxEngines    = 256 // engines of a hive
	// MaxSlots bounds the slots of one worker.
	MaxSlots = 1 << 20
)
