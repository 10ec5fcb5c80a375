from service.local.postgres_settings import GB, MB, Setting, render, tuned


def values(memory: int, cores: int, shared_memory_free: int | None) -> dict[str, str]:
    return {setting.name: setting.value for setting in tuned(memory, cores, shared_memory_free)}


def test_a_large_machine_gives_shares_up_to_a_cap() -> None:
    large = values(256 * GB, 64, 64 * GB)
    assert large["shared_buffers"] == "8192MB"
    assert large["maintenance_work_mem"] == "2048MB"
    assert large["max_parallel_maintenance_workers"] == "15"


def test_a_small_machine_gives_little() -> None:
    small = values(512 * MB, 1, GB)
    assert small["shared_buffers"] == "128MB"
    assert small["maintenance_work_mem"] == "64MB"
    assert small["max_parallel_workers_per_gather"] == "0"


def test_small_shared_memory_is_not_used_for_parallel_builds() -> None:
    assert values(16 * GB, 4, 64 * MB)["dynamic_shared_memory_type"] == "mmap"
    assert values(16 * GB, 4, 8 * GB)["dynamic_shared_memory_type"] == "posix"
    assert values(16 * GB, 4, None)["dynamic_shared_memory_type"] == "posix"


def test_every_setting_has_its_reason_above_it() -> None:
    text = render([Setting("log_line_prefix", "it's ", "to see a quote doubled")])
    assert text.endswith("# to see a quote doubled\nlog_line_prefix = 'it''s '\n")
