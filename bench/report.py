"""Prints the table of a benchmark: medians over the rounds, and ratios formed round by round.

report.py FIGURES GOALS

FIGURES has lines of case, unit, program, round, and the program's figures, separated by tabs; GOALS says what is to be reached.
"""
import collections
import statistics
import sys

FIGURES = ['value', 'p99', 'cpu']


def read_figures(path):
    """Units by case, and figures by case, program and round. The first program of a case is what others are compared to."""
    units, cases = {}, collections.defaultdict(lambda: collections.defaultdict(dict))
    for line in open(path):
        case, unit, program, number, figures = line.rstrip('\n').split('\t')
        units[case] = unit
        cases[case][program][number] = {
            name: float(figure) for name, figure in zip(FIGURES, figures.split()) if figure != '-'}
    return units, cases


def read_goals(path):
    """What is to be reached: lines of case, figure, "at most", a number. It is for the programs called athena_calc."""
    goals = {}
    for line in open(path):
        words = line.split('#')[0].split()
        if words:
            goals.setdefault(words[0], []).append((words[1], float(words[-1])))
    return goals


def median(rounds, name):
    figures = [figures[name] for figures in rounds.values() if name in figures]
    return statistics.median(figures) if figures else None


def ratio(rounds, reference, name):
    ratios = [figures[name] / reference[number][name] for number, figures in rounds.items()
              if name in figures and reference[number].get(name)]
    return statistics.median(ratios) if ratios else None


def shown(figure, digits):
    return '-' if figure is None else f'{figure:.{digits}f}'


def goal_of(row, goals):
    """How a program stands to the goals of its case."""
    said = []
    for name, bound in goals:
        if row[name] is not None:
            said.append(f'{name} <= {bound:g}' + ('' if row[name] <= bound else ' MISSED'))
    return ', '.join(said)


def main():
    units, cases = read_figures(sys.argv[1])
    goals = read_goals(sys.argv[2])
    heading = ('case', 'program', '', 'median', 'p99', 'CPU', 'ratio', 'CPU ratio', 'goal')
    layout = '{:25} {:18} {:>3} {:>10} {:>9} {:>9} {:>7} {:>9}  {}'
    print(layout.format(*heading).rstrip())
    for case, programs in cases.items():
        reference = next(iter(programs.values()))
        for program, rounds in programs.items():
            row = {name: median(rounds, name) for name in FIGURES}
            row['ratio'] = ratio(rounds, reference, 'value') if units[case].endswith('s') else None
            row['cpu_ratio'] = ratio(rounds, reference, 'cpu')
            goal = goal_of(row, goals.get(case.split()[0], [])) if program == 'athena_calc' else ''
            digits = 2 if units[case] in ('s', 'MB') else 1
            print(layout.format(case, program, units[case], shown(row['value'], digits), shown(row['p99'], digits),
                                shown(row['cpu'], digits), shown(row['ratio'], 2), shown(row['cpu_ratio'], 2), goal).rstrip())


main()
