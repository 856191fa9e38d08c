package schedule

import "time"

// Limits are the policy knobs of scheduling. The zero value is not usable: start from Defaults.
type Limits struct {
	QueuedJobs      int           // jobs waiting, over all models
	QueuedBytes     int64         // bytes of bodies of all jobs not ended
	Decisions       int           // commands of one plan
	BatchOffset     time.Duration // how much older a batch job must be than an interactive one to go first
	Retries         uint32        // counted attempts lost before a job fails
	Attempts        uint32        // attempts in all
	Backoff         time.Duration // before the first retry; doubles each time
	BackoffMax      time.Duration
	Grace           time.Duration // default grace of attached jobs
	HolderTimeout   time.Duration // a queen process unseen for so long is gone
	HiveTimeout     time.Duration // a hive unheard for so long is offline
	DeadlineSlack   time.Duration // the leader ends a running job so long after its deadline
	BlockFirst      time.Duration // a hive that failed a model is passed over so long; doubles
	BlockMax        time.Duration
	FailsInARow     uint32        // on every hive that fits, then waiting jobs end
	Unservable      time.Duration // a job that no registered hive could run waits so long for one
	Retain          time.Duration // ended jobs and gone workers, at least
	RetainJobs      int           // beyond this many, ended jobs older than RetainMin go early
	RetainMin       time.Duration
	IdempotencyTTL  time.Duration
	IdempotencyKeys int           // beyond this many, keys older than RetainMin go early
	WorkersPerModel int           // 0: one per online hive
	EvictIdle       time.Duration // a worker used since is not evicted for another model
	SwapAfter       time.Duration // a job waiting so long may have a busy worker drained that is ready as long
	MemoryPause     time.Duration // before the one more try of a load that died for lack of memory
	FetchStall      time.Duration // a fetch that does not move so long has failed
	FetchMost       time.Duration // a fetch takes at most so long
}

// Defaults are the limits of the design pages.
func Defaults() Limits {
	return Limits{
		QueuedJobs:      1_000_000,
		QueuedBytes:     1 << 30,
		Decisions:       4096,
		BatchOffset:     5 * time.Minute,
		Retries:         2,
		Attempts:        5,
		Backoff:         250 * time.Millisecond,
		BackoffMax:      10 * time.Second,
		Grace:           10 * time.Second,
		HolderTimeout:   5 * time.Second,
		HiveTimeout:     10 * time.Second,
		DeadlineSlack:   5 * time.Second,
		BlockFirst:      time.Minute,
		BlockMax:        16 * time.Minute,
		FailsInARow:     3,
		Unservable:      10 * time.Minute,
		Retain:          time.Hour,
		RetainJobs:      200_000,
		RetainMin:       10 * time.Minute,
		IdempotencyTTL:  24 * time.Hour,
		IdempotencyKeys: 1_000_000,
		EvictIdle:       time.Second,
		SwapAfter:       30 * time.Second,
		MemoryPause:     5 * time.Second,
		FetchStall:      5 * time.Minute,
		FetchMost:       24 * time.Hour,
	}
}
