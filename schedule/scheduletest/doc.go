// Package scheduletest makes worlds of any size for benchmarks of the plan.
package scheduletest
